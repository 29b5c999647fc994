"""How people write a day: every combination of an order, a style of each part, and a language.

A form is one such combination ("wednesday, the 3rd of mar. 2021" is one of them), so a combination can
be held out while all of its parts are known from others. What a form leaves open is agreed on here:

1. Of two numbers with slashes the first is the month; with dots or hyphens it is the day.
2. A year of two digits is 1969 to 2068 (POSIX `strptime`); those forms write no other year.

Standard library only, and no locale of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from random import Random

__all__ = ["Form", "all_days", "all_forms", "is_writable", "misspelt", "written"]

FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)
FIRST_SHORT, LAST_SHORT = date(1969, 1, 1), date(2068, 12, 31)

# A shorter word with a letter wrong can be another month: juin, juni; julio, junio.
MIN_MISSPELT = 6

_WEEKDAYS = {
    "en": "monday tuesday wednesday thursday friday saturday sunday",
    "de": "montag dienstag mittwoch donnerstag freitag samstag sonntag",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "es": "lunes martes miércoles jueves viernes sábado domingo",
}
_MONTHS = {
    "en": "january february march april may june july august september october november december",
    "de": "januar februar märz april mai juni juli august september oktober november dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
_SHORT_MONTHS = {
    "en": "jan feb mar apr may jun jul aug sep oct nov dec",
    "de": "jan feb mär apr mai jun jul aug sep okt nov dez",
    "fr": "janv févr mars avr mai juin juil août sept oct nov déc",
    "es": "ene feb mar abr may jun jul ago sep oct nov dic",
}
_ORDERS = {
    "en": (
        "{d} {m} {y}",
        "{m} {d}, {y}",
        "{m} {d} {y}",
        "the {d} of {m} {y}",
        "{d} of {m}, {y}",
        "{d}-{m}-{y}",
        "{y} {m} {d}",
    ),
    "de": ("{d} {m} {y}", "den {d} {m} {y}", "am {d} {m} {y}"),
    "fr": ("{d} {m} {y}", "le {d} {m} {y}"),
    "es": ("{d} {m} {y}", "{d} de {m} de {y}", "el {d} de {m} de {y}"),
}
_DAYS = {
    "en": ("plain", "padded", "ordinal"),
    "de": ("dotted", "padded dotted"),
    "fr": ("plain", "first"),
    "es": ("plain", "padded"),
}
_NUMERIC = (
    *(("{y}-{mm}-{dd}", "{y}/{mm}/{dd}", "{y}.{mm}.{dd}", "{y}{mm}{dd}", "{y}-{m}-{d}")),
    *(("{dd}.{mm}.{y}", "{d}.{m}.{y}", "{dd}.{mm}.{yy}", "{d}.{m}.{yy}")),
    *(("{mm}/{dd}/{y}", "{m}/{d}/{y}", "{mm}/{dd}/{yy}", "{m}/{d}/{yy}")),
    *(("{dd}-{mm}-{y}", "{d}-{m}-{y}")),
)


@dataclass(frozen=True)
class Form:
    """One way of writing a day.

    Attributes:
        language: Of its words, `en`, `de`, `fr` or `es`.
        order: What stands where, with `{d}`, `{m}` and `{y}`; in numeric forms also two-digit ones.
        weekday: `none`, `short` (two or three letters) or `long`.
        day: How the day's number is written; empty in numeric forms.
        month: `long`, `short` or `dotted`; empty in numeric forms.
        short_year: Whether the year has two digits.
    """

    language: str
    order: str
    weekday: str
    day: str = ""
    month: str = ""
    short_year: bool = False


def all_forms() -> list[Form]:
    """Return every form, always in the same order."""
    forms = []
    for language, orders in _ORDERS.items():
        styles = product(
            orders, ("none", "short", "long"), _DAYS[language], ("long", "short", "dotted"), (False, True)
        )
        forms += [
            Form(language, *style)
            for style in styles
            if not (style[-1] and style[0].startswith("{y}"))  # 21 3 3 could be any order
        ]
        weekdays = ("none", "short", "long") if language == "en" else ("short", "long")
        forms += [
            Form(language, order, weekday, short_year="{yy}" in order)
            for order, weekday in product(_NUMERIC, weekdays)
        ]
    return forms


def all_days() -> list[date]:
    """Return every day from `FIRST` to `LAST`."""
    return [FIRST + timedelta(each) for each in range((LAST - FIRST).days + 1)]


def is_writable(form: Form, day: date) -> bool:
    """Return whether this form can stand for the day: one with a two-digit year for some years only."""
    return not form.short_year or FIRST_SHORT <= day <= LAST_SHORT


def written(form: Form, day: date) -> str:
    """Return the day as this form writes it, in lower case.

    Raises:
        ValueError: The form has a year of two digits that would be read as another.
    """
    if not is_writable(form, day):
        raise ValueError(f"{day} has no year of two digits")
    short = f"{day.year % 100:02d}"
    if not form.month:
        parts = {"d": f"{day.day}", "m": f"{day.month}", "y": f"{day.year}", "yy": short}
        text = form.order.format(dd=f"{day.day:02d}", mm=f"{day.month:02d}", **parts)
    else:
        text = form.order.format(
            d=_day(form.day, day.day),
            m=_month(form, day.month - 1),
            y=short if form.short_year else day.year,
        )
    if form.weekday == "none":
        return text
    name = _WEEKDAYS[form.language].split()[day.weekday()]
    return f"{name[: 2 if form.language == 'de' else 3] if form.weekday == 'short' else name}, {text}"


def misspelt(text: str, random: Random) -> str:
    """Return the text with one letter of its longest word wrong; as it is if no word is long enough."""
    word = max(text.replace(",", " ").split(), key=lambda each: len(each) if each.isalpha() else 0)
    if not word.isalpha() or len(word) < MIN_MISSPELT:
        return text
    at = random.randrange(1, len(word) - 1)
    wrong = random.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + random.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :],
        )
    )
    return text.replace(word, wrong)


def _day(style: str, day: int) -> str:
    if style == "ordinal":
        suffix = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        return f"{day}{suffix}"
    if style == "first":
        return "1er" if day == 1 else f"{day}"
    number = f"{day:02d}" if "padded" in style else f"{day}"
    return f"{number}." if "dotted" in style else number


def _month(form: Form, month: int) -> str:
    if form.month == "long":
        return _MONTHS[form.language].split()[month]
    short, long = (table[form.language].split()[month] for table in (_SHORT_MONTHS, _MONTHS))
    return f"{short}." if form.month == "dotted" and short != long else short
