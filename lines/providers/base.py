"""What every provider driver does, in one vocabulary: the face that the rest of the product sees.

The interface of contract/lines.md section 2. Vocabularies are closed: words a driver does not know become
`Unrecognised` and are kept raw. No driver touches the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class ErrorClass(StrEnum):
    """What an error means for the worker (contract/lines.md 2.6)."""

    RETRYABLE = "retryable"
    HELD = "held"
    RECIPIENT_UNREACHABLE = "recipient-unreachable"
    PERMANENT = "permanent"
    LINE_DOWN = "line-down"


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ProviderError:
    """Why a provider refused: its own code and text, and our class. `retry_after` is in seconds."""

    error_class: ErrorClass
    code: str
    text: str
    retry_after: float | None = None


class ProviderCallFailed(Exception):
    """A call other than a send failed; `error` is None when its outcome is not known."""

    def __init__(self, error: ProviderError | None) -> None:
        self.error = error
        super().__init__(error.text if error else "The provider's answer was lost.")


@dataclass(frozen=True, slots=True)
class Account:
    """A provider account as drivers see it: credentials in the clear, for the length of one call."""

    base_url: str
    token: str
    callback_secret: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver can do now; surfaces ask this card, never the provider's name (contract/lines.md 2.1)."""

    tapback: bool
    tapback_remove: bool
    typing: bool
    read_receipt: bool
    effects: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SendOrder:
    """One text to one human. `key` is our id of it; a provider with a true send key never sends it twice."""

    key: str
    line: str
    human: str
    text: str
    media: Sequence[str] = ()
    effect: str = ""
    service: str = "imessage"


@dataclass(frozen=True, slots=True)
class SendReceipt:
    """How a send ended. `unknown` means exactly that: the text may be on the phone."""

    outcome: Outcome
    handle: str = ""
    state: str = "sent"
    service: str = "imessage"
    error: ProviderError | None = None


@dataclass(frozen=True, slots=True)
class LineReading:
    """What a probe saw. `state` is one of healthy, degraded, down, flagged, unknown."""

    state: str
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CallbackId:
    """How a callback is told apart: `key` is the same on every repeat; `thread` orders those of one thread.

    `at` is when the provider made it, if it says so.
    """

    key: str
    thread: str = ""
    at: datetime | None = None


class CallbackRefused(Exception):
    """The callback could not be proved; the text says why, for the log."""


@dataclass(frozen=True, slots=True)
class Media:
    url: str
    content_type: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a callback or a poll came to. `line` and `human` are addresses."""

    line: str
    human: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextArrived(Report):
    handle: str
    text: str
    media: Sequence[Media] = field(default=())
    service: str = "imessage"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged(Report):
    """`order_key` is the key of our order when the provider echoes it."""

    handle: str
    state: str
    order_key: str = ""
    service: str = ""
    downgraded: bool | None = None
    error: ProviderError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadReported(Report):
    """The human read our texts up to and including this one."""

    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TapbackArrived(Report):
    handle: str
    part: int
    kind: str
    emoji: str = ""
    removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TypingChanged(Report):
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecognised(Report):
    raw_type: str


class Driver(Protocol):
    """One provider. Every call has a deadline of its own; see each for what its expiry means."""

    name: str

    def capabilities(self) -> Capabilities: ...

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        """Send one text. Never raises for the provider's sake: a lost answer is outcome `unknown`."""

    def can_repeat(self, account: Account, *, line: str) -> bool:
        """Whether sending an order again under its key is harmless now: the provider has a true send key.

        Raises `ProviderCallFailed` when the provider could not tell.
        """

    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        """Look a lost send up: a receipt when it left, None for an honest no (`known` handles are other texts).

        Raises `ProviderCallFailed` when the provider could not tell.
        """

    def tapback(
        self, account: Account, *, line: str, handle: str, part: int, kind: str, emoji: str, remove: bool
    ) -> None:
        """Put or take back a tapback; raises `ProviderCallFailed`. Safe to repeat."""

    def typing(self, account: Account, *, line: str, human: str, on: bool) -> None:
        """Show or end the typing bubble; raises `ProviderCallFailed`."""

    def mark_read(self, account: Account, *, line: str, human: str) -> None:
        """Send a read receipt for the thread; raises `ProviderCallFailed`."""

    def media_headers(self, account: Account, url: str) -> dict[str, str] | None:
        """What the provider wants to see with a request for a file of its own; None when `url` is not its own.

        Its own lie where the account's calls go, an operator's setting; everything else is a stranger's address.
        """

    def probe(self, account: Account, *, line: str) -> LineReading:
        """Look at the line; never raises: no answer is `down`."""

    def install_callbacks(self, account: Account, *, url: str) -> None:
        """Ask for callbacks at `url`; repeating it changes nothing. Raises `ProviderCallFailed`."""

    def poll(self, account: Account, *, cursor: str) -> tuple[list[bytes], str]:
        """Raw callbacks after `cursor`, and the next cursor; raises `ProviderCallFailed`."""

    def prove(self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str) -> None:
        """Raise `CallbackRefused` unless the raw bytes come from the provider (contract/lines.md 2.8)."""

    def identify(self, body: bytes) -> CallbackId:
        """The callback's key and thread; raises `ValueError` when the body has none."""

    def parse(self, body: bytes) -> list[Report]:
        """What the callback says. Pure; unknown words become `Unrecognised`."""
