"""What a list may be narrowed by: kinds of fields, each with how it is read, said and asked of the database."""

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q

from core.actor import Actor
from core.errors import DomainError

LONGEST = 200
_BIGGEST = 10**9

Condition = Callable[[Any], Q]


class Unreadable(ValueError):
    """What stands in the address is no value of this field; the text says why, for a warning."""


@dataclass(frozen=True, slots=True)
class Option:
    """One value that a person may choose, and its name."""

    value: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Field:
    """Something rows differ in, `key` in the address.

    Either `column` names where it stands (a lookup such as `identity__handle`) or `condition` makes the question
    for one value, `condition_for` for one value and whoever asks.
    """

    key: str
    label: str
    column: str = ""
    condition: Condition | None = None
    condition_for: Callable[[Actor, Any], Q] | None = None
    hint: str = ""
    control: ClassVar[str] = "text"

    def read(self, text: str, options: Sequence[Option]) -> Any:
        """The value that `text` names; raises `Unreadable`."""
        if "\x00" in text or len(text) > LONGEST:
            raise Unreadable("cannot be read")
        return text

    def text(self, value: Any) -> str:
        """The value as the address holds it; `read` of it gives the value again."""
        return str(value)

    def words(self, value: Any, options: Sequence[Option]) -> str:
        """The value as people read it."""
        return self.text(value)

    def options(self, actor: Actor) -> Sequence[Option]:
        """What this actor may choose from; empty where anything may be typed."""
        return ()

    def matching(self, actor: Actor, values: Sequence[Any]) -> Q:
        """Rows with any of the values; the actor's rights are not its business."""
        if self.condition_for:
            return reduce(operator.or_, [self.condition_for(actor, value) for value in values])
        if self.condition:
            return reduce(operator.or_, map(self.condition, values))
        return Q(**{f"{self.column}__in": values})


@dataclass(frozen=True, kw_only=True)
class Choice(Field):
    """One or more of a set of values, which may depend on who asks.

    `among` is the set, as pairs of value and label, or a function of the actor. With `is_open` any value is taken,
    for the set is only what is offered: a handle of thousands, or one that is gone. A `prefix` may be typed or not.
    """

    among: Iterable[tuple[str, str]] | Callable[[Actor], Iterable[tuple[str, str]]]
    is_open: bool = False
    prefix: str = ""
    is_lower: bool = False
    control: ClassVar[str] = "choice"

    def read(self, text: str, options: Sequence[Option]) -> str:
        text = str(super().read(text, options)).removeprefix(self.prefix)
        text = text.lower() if self.is_lower else text
        if not self.is_open and text not in {option.value for option in options}:
            raise Unreadable("is not one of its values")
        return text

    def words(self, value: str, options: Sequence[Option]) -> str:
        named = {option.value: option.label for option in options}
        return named.get(value, self.prefix + value)

    def options(self, actor: Actor) -> Sequence[Option]:
        pairs = self.among(actor) if callable(self.among) else self.among
        return [Option(str(value), str(label)) for value, label in pairs]


_YES_AND_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class Flag(Field):
    """Yes or no. `holds` is the question whose answer it is, where no boolean column is."""

    holds: Q | Callable[[], Q] | None = None
    yes: str = "Yes"
    no: str = "No"
    control: ClassVar[str] = "flag"

    def read(self, text: str, options: Sequence[Option]) -> bool:
        try:
            return _YES_AND_NO[text.lower()]
        except KeyError as odd:
            raise Unreadable("is neither yes nor no") from odd

    def text(self, value: bool) -> str:
        return "yes" if value else "no"

    def words(self, value: bool, options: Sequence[Option]) -> str:
        return self.yes if value else self.no

    def options(self, actor: Actor) -> Sequence[Option]:
        return [Option("yes", self.yes), Option("no", self.no)]

    def matching(self, actor: Actor, values: Sequence[Any]) -> Q:
        if self.holds is None:
            return super().matching(actor, values)
        held = self.holds() if callable(self.holds) else self.holds
        return reduce(operator.or_, [held if value else ~held for value in values])


@dataclass(frozen=True, kw_only=True)
class Text(Field):
    """Words as they are typed. `parse` makes the value; for what is none it raises `ValueError` or a `DomainError`."""

    parse: Callable[[str], Any] = str

    def read(self, text: str, options: Sequence[Option]) -> Any:
        try:
            return self.parse(super().read(text, options))
        except Unreadable:
            raise
        except (ValueError, DomainError) as odd:
            raise Unreadable("cannot be read") from odd


@dataclass(frozen=True, kw_only=True)
class Id(Text):
    """The exact id of something."""

    parse: Callable[[str], Any] = UUID


@dataclass(frozen=True, kw_only=True)
class Number(Field):
    """A whole number, such as minutes at least; `unit` is said after it."""

    least: int = 0
    most: int = _BIGGEST
    unit: str = ""
    control: ClassVar[str] = "number"

    def read(self, text: str, options: Sequence[Option]) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(_BIGGEST))):
            raise Unreadable("is no whole number")
        if not self.least <= int(text) <= self.most:
            raise Unreadable(f"is not between {self.least} and {self.most}")
        return int(text)

    def words(self, value: int, options: Sequence[Option]) -> str:
        return f"{value} {self.unit}".strip()
