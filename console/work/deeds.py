"""What can be done to rows of a list, one deed by one name; page families register theirs beside their lists."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import QuerySet

from console.lists import FilterSpec
from core.actor import Actor, Role
from core.errors import DomainError

HOLD = 10  # seconds in which outward work can still be cancelled


class Skipped(Exception):
    """The row needs nothing done, for the reason given: it is done already, or it changed meanwhile."""

    def __init__(self, words: str) -> None:
        self.words = words
        super().__init__(words)


Result = str | Skipped | DomainError


def _many_at_a_time(actor: Actor, row: Any, options: Mapping[str, Any]) -> str:
    raise TypeError("This deed is done to many rows at a time.")


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One thing that can be done to rows of a list.

    `perform(actor, row, options)` does it to one row and returns what came of it in a few words without any human's
    number or text. It runs in one transaction with the row's result and those of some other rows, so it must not
    commit, nor talk to a network: it calls one operation. `Skipped` and any `DomainError` become the row's result, and
    undo what the deed did to this row alone. A deed that locks more than its row names the attribute that rows of one
    transaction must share in `within`, and takes them in its order.

    `perform_all(actor, rows, options)` is a quicker way to the same, for many rows of such a transaction at once: the
    words or the refusal of each by their keys. When it raises, each row is done by itself and has its own result.

    A deed that does talk to a network gives `perform_many(actor, rows, options)` instead. It is called outside of any
    transaction with up to `at_a_time` rows and returns, by their keys, the words or the refusal of each. Those of a
    killed worker are done again, so it must refuse by itself what is under way.

    `grade` is that of console.md 5.3; from 3 on a hold comes first. `form` asks for options, whose cleaned data must
    be JSON. `preview(actor, rows, options)` says who is affected, a sentence each, before it begins; it may be given a
    million rows. `per_second(options)` bounds the pace.
    """

    name: str
    label: str
    spec: FilterSpec
    grade: int
    perform: Callable[[Actor, Any, Mapping[str, Any]], str] = _many_at_a_time
    perform_all: Callable[[Actor, Sequence[Any], Mapping[str, Any]], Mapping[Any, Result]] | None = None
    perform_many: Callable[[Actor, Sequence[Any], Mapping[str, Any]], Mapping[Any, Result]] | None = None
    at_a_time: int = 32
    role: Role = Role.ADMIN
    key: str = ""
    done: str = "Done"
    form: type[forms.Form] | None = None
    preview: Callable[[Actor, QuerySet[Any], Mapping[str, Any]], Sequence[str]] | None = None
    per_second: Callable[[Mapping[str, Any]], float | None] | None = None
    # What order rows are taken in: a lookup that a database orders by; the oldest first unless said otherwise.
    order: tuple[str, ...] = ("pk",)
    within: str = ""

    def __post_init__(self) -> None:
        if self.name in DEEDS or self.name == EXPORT:
            raise ValueError(f"There are two deeds named {self.name}.")
        DEEDS[self.name] = self

    @property
    def hold(self) -> int:
        """Seconds before it begins."""
        return HOLD if self.grade >= 3 else 0


EXPORT = "export"

# By name, as modules that register them are imported.
DEEDS: dict[str, Deed] = {}


def deeds_of(spec: FilterSpec) -> list[Deed]:
    """What can be done to the rows of a list."""
    return [deed for deed in DEEDS.values() if deed.spec is spec]


def allowed_deeds(actor: Actor, spec: FilterSpec) -> list[Deed]:
    """Those of them that this actor's role allows."""
    return [deed for deed in deeds_of(spec) if actor.may(deed.role)]
