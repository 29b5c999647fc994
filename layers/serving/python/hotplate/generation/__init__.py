"""Text generation: tokens, sampling, stop strings, chats; over a graph that keeps what it has read.

    messages → text and marks → tokens ─▶ the graph ─▶ logits → a token → text, held back while unsure
                                             └────────── next token ◀──┘

Nothing here knows HTTP, or how an answer leaves. ONNX Runtime is behind `hotplate.runtime.cached`.
"""
