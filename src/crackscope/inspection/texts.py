"""Texts: the sentences of an inspection in several languages, one file a language.

A file in ``texts/`` holds templates, such as ``"band {number} of {table}"``, and the words of the tables that come
with the package. All files have the same keys and placeholders; a test compares them. A further language is one more
file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from crackscope.errors import DataError
from crackscope.inspection.toml_files import names_in, read_toml

__all__ = ["Texts"]

_FOLDER = "texts"


@dataclass(frozen=True)
class Texts:
    """Sentences and words in one language.

    Attributes:
        language: Name of the language's file, such as ``en``.
        decimal_mark: Mark between a number and its decimals.
        templates: Sentences and parts of sentences by key, with placeholders in braces.
        words: Words of the package's own tables and rules, by their English form in lower case.
    """

    language: str
    decimal_mark: str
    templates: Mapping[str, str]
    words: Mapping[str, str]

    @classmethod
    def read(cls, language: str = "en") -> Texts:
        """Read the texts of a language.

        Args:
            language: Name of the language, one of `Texts.languages`.

        Raises:
            DataError: If there are no texts in this language.

        Example:
            >>> Texts.read("de").word("urgent")
            'dringend'
        """
        if language not in names_in(_FOLDER):
            raise DataError(f"There are no texts in '{language}'. Take one of {', '.join(names_in(_FOLDER))}.")
        _, document = read_toml(language, _FOLDER, kind="language")
        return cls(language, document["decimal_mark"], document["templates"], document["words"])

    @staticmethod
    def languages() -> tuple[str, ...]:
        """List the languages that there are texts in, sorted.

        Example:
            >>> Texts.languages()
            ('de', 'en')
        """
        return names_in(_FOLDER)

    def say(self, key: str, **values: str) -> str:
        """Fill a template.

        Args:
            key: Key of the template.
            **values: Text for each of its placeholders.
        """
        return self.templates[key].format(**values)

    def word(self, text: str) -> str:
        """Give a word in this language.

        Args:
            text: Word of a table or of rules, in English. A word of the user's own comes back as it is.
        """
        return self.words.get(text.casefold(), text)

    def number(self, value: float, decimals: int) -> str:
        """Write a number with this language's decimal mark.

        Args:
            value: The number.
            decimals: Number of decimals, 0 or more.
        """
        return f"{value:.{decimals}f}".replace(".", self.decimal_mark)

    def rough(self, value: float, digits: int = 2) -> str:
        """Write a number with few significant digits; whole digits are never rounded away.

        Args:
            value: The number, 0 or more.
            digits: Number of significant digits.

        Example:
            >>> text = Texts.read("en").rough
            >>> text(1.23), text(123.4), text(0.0471), text(5.0)
            ('1.2', '123', '0.047', '5')
        """
        before = math.floor(math.log10(value)) if value > 0 else 0
        told = self.number(value, max(0, digits - 1 - before))
        return told.rstrip("0").rstrip(self.decimal_mark) if self.decimal_mark in told else told

    def limit(self, value: float) -> str:
        """Write a limit of a table exactly, with two decimals where it is no whole number.

        Args:
            value: The limit.

        Example:
            >>> text = Texts.read("de").limit
            >>> text(0.3), text(5.0), text(0.125)
            ('0,30', '5', '0,125')
        """
        if value == int(value):
            return str(int(value))
        return self.number(value, 2) if round(value, 2) == value else repr(value).replace(".", self.decimal_mark)

    def listed(self, words: Sequence[str]) -> str:
        """Join words as a list: "a, b and c".

        Args:
            words: The words, at least one.
        """
        if len(words) == 1:
            return words[0]
        return self.say("and", first=", ".join(words[:-1]), last=words[-1])

    def width(self, value: float, limits: Collection[float] = (), *, decimals: int = 2) -> str:
        """Write a width so that the printed number lies on the same side of each limit as the width does.

        Args:
            value: The width.
            limits: Limits that the sentence compares the width with, in the same unit.
            decimals: Number of decimals that are usual. More are written where rounding would cross or meet a limit.

        Example:
            >>> Texts.read("en").width(0.3012, [0.30]), Texts.read("en").width(0.3512, [0.30])
            ('0.301', '0.35')
        """
        for more in range(decimals, decimals + 5):
            told = round(value, more)
            if all((told > limit) == (value > limit) and (told < limit) == (value < limit) for limit in limits):
                return self.number(value, more)
        return repr(value).replace(".", self.decimal_mark)
