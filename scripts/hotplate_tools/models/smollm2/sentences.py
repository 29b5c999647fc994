"""What the model is asked, and texts that its tokenizer could stumble over; written for this project."""

from __future__ import annotations

__all__ = ["CONVERSATIONS", "FACTS", "ODD_TEXTS", "PASSAGE"]

# (beginning, what the model goes on with)
FACTS = (
    ("The capital of France is", "Paris"),
    ("The capital of Italy is", "Rome"),
    ("The capital of Spain is", "Madrid"),
    ("The capital of Japan is", "Tokyo"),
    ("The capital of Germany is", "Berlin"),
    ("The capital of Egypt is", "Cairo"),
    ("The capital of Russia is", "Moscow"),
    ("The largest planet of the solar system is", "Jupiter"),
    ("The chemical formula of water is", "H2O"),
    ("The opposite of hot is", "cold"),
    ("The opposite of up is", "down"),
    ("A group of lions is called a", "pride"),
    ("One, two, three, four,", "five"),
    ("Monday, Tuesday, Wednesday,", "Thursday"),
    ("January, February, March,", "April"),
    ("The Earth revolves around the", "Sun"),
    ("Romeo and Juliet was written by William", "Shakespeare"),
    ("The first president of the United States was George", "Washington"),
    ("A triangle has three", "sides"),
    ("Bees make", "honey"),
)

PASSAGE = (
    "The sun rises in the east and sets in the west. In summer the days are long and warm, and people like "
    "to spend their time outside. Children play in the parks, families go to the beach, and farmers work in "
    "their fields from morning until evening. In winter the days are short and cold. Snow covers the "
    "mountains, and many animals sleep until spring, when the flowers begin to bloom again."
)

# Roles and contents, as callers send them.
CONVERSATIONS = (
    (("user", "What is the capital of France?"),),
    (("system", "You answer in one word."), ("user", "Is water wet?")),
    (("user", "Hi"), ("assistant", "Hello! How can I help?"), ("user", "Count to 3.\n")),
    (("system", ""), ("user", " spaces  and\ttabs ")),
    (("user", "{{ 'braces' }} {% if x %}"), ("system", "late"), ("user", "über 東京 😀")),
)

ODD_TEXTS = (
    "", " ", "  ", "\n", "\n\n ", " \n a", "\t\tx", "a", "Hello, wörld!", "don't I'LL we've they're it's'd",
    "3.14159 and 1,000,000", "x2y3 ²³ ½ Ⅷ ٣ 一二三", "東京は日本の首都です。", "서울", "Привет, мир",
    "مرحبا بالعالم", "नमस्ते दुनिया", "😀👍🏽 emoji", "e\u0301 combining", "zero\u200bwidth", "nbsp\u00a0here",
    "line\u2028separator", "\x00null\x07bell", "\x1c\x1d sep", "\u3000wide", "\ufffd", "_under_score__",
    "def f(x):\n    return x**2\n", "https://a.b/c?d=e#f", " _x", "!!! ???", "a" * 300, "ab" * 500, " " * 70,
    "\n" * 40, "supercalifragilistic" * 20,
)  # fmt: skip
