"""SmolLM2-135M-Instruct: its builder, and what it is published from."""
