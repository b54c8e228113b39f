"""All languages have the same keys and placeholders, and every word of the package's tables."""

from __future__ import annotations

from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.errors import DataError
from crackscope.inspection.bands import band_table_names, read_bands
from crackscope.inspection.rules import read_rules
from crackscope.inspection.texts import Texts

ENGLISH = Texts.read("en")
LANGUAGES = [Texts.read(language) for language in Texts.languages()]


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("texts", LANGUAGES, ids=lambda texts: texts.language)
def test_every_language_has_the_same_keys_and_placeholders(texts: Texts) -> None:
    assert [*texts.templates] == [*ENGLISH.templates]
    assert [*texts.words] == [*ENGLISH.words]
    for key, template in texts.templates.items():
        assert placeholders(template) == placeholders(ENGLISH.templates[key]), key


@pytest.mark.parametrize("texts", LANGUAGES, ids=lambda texts: texts.language)
def test_every_word_of_the_tables_and_the_rules_is_translated(texts: Texts) -> None:
    tables, rules = [read_bands(name) for name in band_table_names()], read_rules()
    cases = [case for table in tables for case in table.cases]
    used = {band.name for case in cases for band in case.bands} | {case.title for case in cases if case.title}
    used |= {name for table in tables for name in table.exposures if name.islower()}  # XC2 is XC2 everywhere
    used |= {one.name for one in rules.classes} | {*rules.importances}
    assert {word.casefold() for word in used} == set(texts.words)


def test_english_words_are_themselves_and_unknown_words_stay() -> None:
    assert all(ENGLISH.word(word) == word for word in ENGLISH.words)
    assert ENGLISH.word("Landlord's own") == "Landlord's own"


def test_a_language_without_texts_is_told() -> None:
    with pytest.raises(DataError, match=r"There are no texts in 'fr'\. Take one of de, en\."):
        Texts.read("fr")
    with pytest.raises(DataError, match="no texts in"):
        Texts.read("../rules/default")


@given(st.floats(0, 50), st.sampled_from([0.1, 0.3, 1.27, 5.0]))
def test_a_printed_width_lies_on_the_same_side_of_a_limit(width: float, limit: float) -> None:
    for texts in LANGUAGES:
        told = float(texts.width(width, [limit]).replace(texts.decimal_mark, "."))
        assert (told > limit, told < limit) == (width > limit, width < limit)
