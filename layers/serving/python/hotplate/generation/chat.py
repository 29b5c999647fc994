"""A conversation as the tokens that a model was trained on: marks around each message, its role before it.

The form is read from the version's `generation.json`, which the builder has made of the model's own Jinja
template and compared with it on many conversations; Jinja itself, which is a programming language, is not on
the serving path. What callers write is always text: a mark in it is the characters it is written with.

Source: SmolLM2's `tokenizer.chat_template`; ChatML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.generation.tokens import Tokeniser
    from hotplate.manifest.schema import Manifest

__all__ = [
    "CONFIG",
    "ROLES",
    "TOKENIZER",
    "ChatForm",
    "Config",
    "Message",
    "generates_text",
    "read_config",
]

# The asset that says of a version that it generates text, and how.
CONFIG = "generation.json"
TOKENIZER = "tokenizer.json"
ROLES = ("system", "user", "assistant")


class Message(NamedTuple):
    """One message; `role` is one of `ROLES`."""

    role: str
    content: str


class ChatForm(NamedTuple):
    """What is around the messages.

    Attributes:
        begin: Mark before each.
        after_role: Text between role and content.
        end: Mark after each.
        after_end: Text after that.
        system: Content of a first message of the system where a conversation has none; None adds none.
    """

    begin: str
    after_role: str
    end: str
    after_end: str
    system: str | None

    def encode(self, messages: Sequence[Message], tokeniser: Tokeniser, most: int) -> list[int]:
        """Return the tokens of a conversation, up to where the answer begins; `most` or some more at most."""
        begin, end = tokeniser.marks[self.begin], tokeniser.marks[self.end]
        if self.system is not None and messages[0].role != "system":
            messages = (Message("system", self.system), *messages)
        ids: list[int] = []
        for message in messages:
            body = tokeniser.encode(f"{message.role}{self.after_role}{message.content}", most - len(ids))
            ids += [begin, *body, end, *tokeniser.encode(self.after_end, most)]
            if len(ids) >= most:
                return ids
        return [*ids, begin, *tokeniser.encode(f"assistant{self.after_role}", most)]

    def text(self, messages: Sequence[Message]) -> str:
        """Return the same as text, marks by name; for comparison with the model's template."""
        if self.system is not None and messages[0].role != "system":
            messages = (Message("system", self.system), *messages)
        said = "".join(
            f"{self.begin}{role}{self.after_role}{content}{self.end}{self.after_end}"
            for role, content in messages
        )
        return f"{said}{self.begin}assistant{self.after_role}"


class Config(NamedTuple):
    """How a version generates text.

    Attributes:
        context: Tokens that a prompt and its answer may have together.
        caches: Layers, heads of keys in each, and numbers of a head.
        ends: Marks after which an answer has ended.
        chat: The form of conversations.
    """

    context: int
    caches: tuple[int, int, int]
    ends: tuple[str, ...]
    chat: ChatForm


def generates_text(manifest: Manifest) -> bool:
    """Return whether a model answers completions."""
    return any((entry.role, entry.path) == ("asset", CONFIG) for entry in manifest.files)


def read_config(raw: bytes) -> Config:
    """Return what a `generation.json` says.

    Raises:
        LookupError, ValueError: It is none.
    """
    document: dict[str, Any] = orjson.loads(raw)
    context, ends, chat = document["context"], document["ends"], document["chat"]
    layers, heads, size = document["caches"]
    if any(type(number) is not int or number < 1 for number in (context, layers, heads, size)):
        raise ValueError("context and caches: whole numbers were expected")
    if not ends or not all(isinstance(end, str) for end in ends):
        raise ValueError("ends: marks were expected")
    if set(chat) != set(ChatForm._fields):
        raise ValueError(f"chat: {', '.join(ChatForm._fields)} were expected, got {', '.join(sorted(chat))}")
    return Config(context, (layers, heads, size), tuple(ends), ChatForm(**chat))
