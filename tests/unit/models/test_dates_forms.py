"""How dates are written for training; what is held out is of other days and other forms."""

from __future__ import annotations

from datetime import date
from random import Random

import pytest

from hotplate_tools.models.dates.forms import Form, all_days, all_forms, is_writable, misspelt, written
from hotplate_tools.models.dates.train import prepare

DAY = date(2021, 3, 3)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Form("en", "the {d} of {m} {y}", "long", "ordinal", "long"), "wednesday, the 3rd of march 2021"),
        (Form("en", "{m} {d}, {y}", "short", "padded", "dotted", short_year=True), "wed, mar. 03, 21"),
        (Form("de", "den {d} {m} {y}", "short", "dotted", "long"), "mi, den 3. märz 2021"),
        (Form("fr", "le {d} {m} {y}", "none", "first", "dotted"), "le 3 mars 2021"),
        (Form("es", "{d} de {m} de {y}", "none", "plain", "short"), "3 de mar de 2021"),
        (Form("en", "{mm}/{dd}/{yy}", "none", short_year=True), "03/03/21"),
        (Form("en", "{y}-{m}-{d}", "none"), "2021-3-3"),
    ],
)
def test_a_day_is_written_in_its_form(form: Form, text: str) -> None:
    assert written(form, DAY) == text


@pytest.mark.parametrize(
    ("day", "text"), [(1, "1st"), (2, "2nd"), (11, "11th"), (13, "13th"), (22, "22nd"), (30, "30th")]
)
def test_english_ordinals(day: int, text: str) -> None:
    form = Form("en", "{d} {m} {y}", "none", "ordinal", "short")
    assert written(form, date(2021, 3, day)) == f"{text} mar 2021"


def test_the_first_is_premier() -> None:
    assert written(Form("fr", "{d} {m} {y}", "none", "first", "long"), date(1988, 2, 1)) == "1er février 1988"


def test_a_year_of_two_digits_is_of_one_century_only() -> None:
    form = Form("en", "{m}/{d}/{yy}", "none", short_year=True)
    assert [is_writable(form, date(year, 1, 1)) for year in (1968, 1969, 2068, 2069)] == [0, 1, 1, 0]
    with pytest.raises(ValueError, match="1968"):
        written(form, date(1968, 12, 31))


@pytest.mark.parametrize("day", [date(2003, 2, 1), date(1999, 12, 31), date(2068, 6, 7)])
def test_no_text_of_a_day_is_another_days(day: date) -> None:
    other = {written(form, each) for form in all_forms() for each in (date(2001, 2, 3), date(2001, 3, 2))}
    mine = {written(form, day) for form in all_forms()}
    assert not mine & other


def test_one_letter_of_a_long_word_is_wrong_and_numbers_stay() -> None:
    random = Random(1)  # fixed, so that the test is
    texts = {misspelt("9 september 2001", random) for _ in range(50)}
    assert len(texts) > 20
    assert all(text.startswith("9 s") and text.endswith(" 2001") for text in texts)
    assert misspelt("1 juin 2001", random) == "1 juin 2001"


def test_what_is_held_out_is_of_other_days_and_other_forms() -> None:
    training, held_out = prepare([])
    assert (len(training.forms), len(training.days)) == (645, 65_744)
    days = {day.isoformat().encode() for day in training.days}
    assert not days & set(held_out["date"])
    assert len(set(all_forms())) == 774
    assert len(all_days()) == 73_049
    assert (prepare([])[1]["text"] == held_out["text"]).all()
