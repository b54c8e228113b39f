"""Forms: what a file or a setting must state, checked by pydantic and told in our own words.

Pydantic's messages ("Input should be a valid integer, unable to parse string as an integer") speak to programmers. Here
each kind of fault gets a phrase that says what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from crackscope.errors import CrackscopeError, DataError

__all__ = ["Fault", "SettingsForm", "first_fault"]

_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "too_short": "must have at least {min_length} values",
    "too_long": "must have at most {max_length} values",
    "value_error": "{error}",
    "json_invalid": "is no JSON, or cut off",
}
_WORDS_OF_TYPES = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "tuple": "must be a list",
    "list": "must be a list",
    "dict": "must be a table of keys and values",
    "model": "must be a table of keys and values",
    "is": "must be a table of keys and values",
}
"""What a value must be, by the first word of the kinds of fault that tell a wrong type, such as ``int_parsing``."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a form, in our words.

    Attributes:
        key: Dotted key of the value, such as ``frozen.epochs``; empty for the form as a whole.
        kind: Pydantic's kind of fault, such as ``missing`` and ``extra_forbidden``.
        words: What is allowed, such as ``must be at least 1``.
        found: The value as it was found, in quotes where it is text; empty where showing it says nothing.
    """

    key: str
    kind: str
    words: str
    found: str

    @property
    def text(self) -> str:
        """Key, what is allowed, and what was found.

        Example:
            >>> Fault("batch_size", "int_type", "must be a whole number", "'many'").text
            "batch_size: must be a whole number, not 'many'"
            >>> Fault("", "value_error", "a recipe needs a phase", "").text
            'a recipe needs a phase'
        """
        text = f"{self.key}: {self.words}" if self.key else self.words
        return f"{text}, not {self.found}" if self.found else text


def first_fault(error: ValidationError) -> Fault:
    """The first fault that pydantic found."""
    first = error.errors()[0]
    kind, context = str(first["type"]), first.get("ctx", {})
    words = _WORDS.get(kind) or _WORDS_OF_TYPES.get(kind.partition("_")[0], "does not fit")
    value = first["input"]
    shown = kind not in ("missing", "extra_forbidden", "json_invalid") and not isinstance(value, (Mapping, BaseModel))
    # Keys come from files, and can hold line breaks.
    key = " ".join(".".join(map(str, first["loc"])).split())
    return Fault(key, kind, words.format(**context), f"{value!r:.60}" if shown else "")


_inside: ContextVar[bool] = ContextVar("_inside", default=False)


class SettingsForm(BaseModel):
    """Settings that people write in a file, on the command line or in Python; what does not fit is an error of ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fault_error: ClassVar[type[CrackscopeError]] = DataError
    """What is raised if a value does not fit."""

    @classmethod
    def fault_text(cls, fault: Fault, given: Any) -> str:
        """The message of a fault.

        Args:
            fault: What is wrong.
            given: The values that were given, by name as a rule.
        """
        return f"{cls.__name__}: {fault.text}."

    def require_fitting(self) -> None:
        """Refuse values that do not fit each other.

        Raises:
            ValueError: With what does not fit, in words of ours.
        """

    @model_validator(mode="wrap")
    @classmethod
    def _told_in_our_words(cls, given: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        """Check the form; one inside another leaves it to the outermost, which knows the whole key."""
        if _inside.get():
            return cls._checked(handler(given))
        token = _inside.set(True)
        try:
            return cls._checked(handler(given))
        except ValidationError as error:
            raise cls.fault_error(cls.fault_text(first_fault(error), given)) from error
        except ValueError as error:
            raise cls.fault_error(cls.fault_text(Fault("", "value_error", str(error), ""), given)) from error
        finally:
            _inside.reset(token)

    @classmethod
    def _checked(cls, form: SettingsForm) -> SettingsForm:
        form.require_fitting()
        return form
