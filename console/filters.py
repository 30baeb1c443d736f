"""What the address of a list may narrow it by; the same reading serves the page, its fragments and its links."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict

from imessage.models import Connection, Conversation, Message


def _text(query: QueryDict, name: str) -> str:
    # PostgreSQL refuses NUL; nothing that people look for holds one.
    return query.get(name, "").replace("\x00", "").strip()[:200]


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """Threads by identity, state and part of a number or handle."""

    identity: str = ""
    state: str = ""
    q: str = ""

    @classmethod
    def read(cls, request: HttpRequest) -> Self:
        state = _text(request.GET, "state")
        return cls(
            identity=_text(request.GET, "identity").removeprefix("@").lower(),
            state=state if state in Connection.Status.values else "",
            q=_text(request.GET, "q"),
        )

    def narrow(self, threads: QuerySet[Conversation]) -> QuerySet[Conversation]:
        """The threads that match."""
        if self.identity:
            threads = threads.filter(identity__handle=self.identity)
        if self.state:
            threads = threads.filter(connection__status=self.state)
        return threads.filter(self._sought()) if self.q else threads

    def query(self, **more: str) -> str:
        """The query string of this list, with its question mark; empty when nothing narrows it."""
        return _query(identity=self.identity, state=self.state, q=self.q, **more)

    @property
    def is_set(self) -> bool:
        return bool(self.identity or self.state or self.q)

    def _sought(self) -> Q:
        digits = "".join(char for char in self.q if char.isascii() and char.isdigit())
        name = self.q.removeprefix("@")
        sought = Q(identity__handle__icontains=name) | Q(identity__display_name__icontains=name)
        # Numbers are found in any notation: only their digits are compared.
        return sought | Q(human__contains=digits) if digits else sought


@dataclass(frozen=True, slots=True)
class BlockedFilter:
    """Blocked messages by identity."""

    identity: str = ""

    @classmethod
    def read(cls, request: HttpRequest) -> Self:
        return cls(identity=_text(request.GET, "identity").removeprefix("@").lower())

    def narrow(self, messages: QuerySet[Message]) -> QuerySet[Message]:
        """The messages that match."""
        return messages.filter(identity__handle=self.identity) if self.identity else messages

    def query(self, **more: str) -> str:
        """The query string of this list, with its question mark; empty when nothing narrows it."""
        return _query(identity=self.identity, **more)

    @property
    def is_set(self) -> bool:
        return bool(self.identity)


def _query(**values: str) -> str:
    given = {name: value for name, value in values.items() if value}
    return f"?{urlencode(given)}" if given else ""
