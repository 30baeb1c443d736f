"""What every provider driver does, in one vocabulary: the face that the rest of the product sees.

Vocabularies are closed: words a driver does not know become `Unrecognised` and are kept raw. A driver lives in
a module of this package named like itself, with one instance as `DRIVER`; it never touches the database.
"""

import abc
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit


class ErrorClass(StrEnum):
    """What an error means for the worker."""

    RETRYABLE = "retryable"  # the same line, later
    HELD = "held"  # the same line, at a time that is known: a cap, a pace
    RECIPIENT_UNREACHABLE = "recipient-unreachable"  # never again on this service; the only way to a fallback
    PERMANENT = "permanent"  # never again
    LINE_DOWN = "line-down"  # nothing leaves this line until it is seen working
    UNKNOWN = "unknown"  # nobody knows whether it left: look it up, never just repeat it


# The tapbacks that have a name; every other one is an emoji.
SIX_TAPBACKS = frozenset({"love", "like", "dislike", "laugh", "emphasize", "question"})


class Scope(StrEnum):
    """How far an error reaches beyond the text that met it."""

    MESSAGE = "message"
    HUMAN = "human"
    LINE = "line"
    ACCOUNT = "account"


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ProviderError:
    """Why a provider refused: its own code and text, and our class.

    `retry_after` is in seconds; `until_inbound` says that only a text from the human ends the hold. `reason` is
    the short word that agents see; empty stands for the class.
    """

    error_class: ErrorClass
    code: str
    text: str
    retry_after: float | None = None
    scope: Scope = Scope.MESSAGE
    counts_against_line: bool = False
    until_inbound: bool = False
    reason: str = ""


class ProviderCallFailed(Exception):
    """A call other than a send failed; `error` is None when its outcome is not known."""

    def __init__(self, error: ProviderError | None) -> None:
        self.error = error
        super().__init__(error.text if error else "The provider's answer was lost.")


NOT_SUPPORTED = "not_supported_on_line"
# Some capabilities of the card are gone until a helper program at the provider is back.
HELPER_LOST = "helper_lost"


def not_supported(what: str) -> ProviderCallFailed:
    """The refusal of something that the provider cannot do; the card says so beforehand."""
    return ProviderCallFailed(
        ProviderError(ErrorClass.PERMANENT, NOT_SUPPORTED, f"The provider cannot {what}.", reason=NOT_SUPPORTED)
    )


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each call may take, in seconds; ours, not the provider's.

    A send, tapback, edit or unsend that runs out is of unknown outcome; anything else may be repeated.
    """

    probe: float = 10
    send: float = 30
    find_sent: float = 15
    tapback: float = 15
    typing: float = 5
    mark_read: float = 5
    edit: float = 40
    lookup: float = 10
    fetch_media: float = 60
    poll: float = 30
    install_callbacks: float = 30
    list_lines: float = 15
    repair: float = 30


@dataclass(frozen=True, slots=True)
class Account:
    """A provider account as drivers see it: credentials in the clear, for the length of one call.

    `callback_secrets` are all valid now, the newest first. `settings` are the operator's for this driver.
    `correlation` names the call in logs, and towards a provider that takes such a thing.
    """

    base_url: str
    token: str
    callback_secrets: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    deadlines: Deadlines = Deadlines()
    correlation: str = ""

    @property
    def callback_secret(self) -> str:
        """The newest: the one to hand to the provider."""
        return self.callback_secrets[0] if self.callback_secrets else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a driver can do; surfaces ask this card, never the provider's name.

    The static part is the driver's; `without` takes off what the last probe found lost.
    """

    services: tuple[str, ...] = ("imessage",)
    writes_first: bool = True  # may open a thread, within its allowance
    send_key: bool = False  # the same key twice is one text
    effects: frozenset[str] = frozenset()  # public names
    effect_on_first: bool = True  # a first message may carry an effect, a reply target or a link
    reply: bool = False  # inline reply to a handle and part
    tapback: bool = False
    tapback_remove: bool = False
    tapback_emoji: bool = False  # any emoji, not only the six
    tapbacks_in: str = "event"  # event, text or none
    tapback_removals_in: bool = True
    typing: bool = False
    typing_end: bool = False  # the bubble can be taken back; else it lapses
    typing_in: bool = False
    read_receipt: bool = False
    reads_in: bool = False
    delivered_in: bool = True
    lookup: bool = False
    edit: bool = False
    unsend: bool = False
    most_media: int = 1  # in one text
    media_with_text: bool = True
    uploads_media: bool = False  # wants the bytes (`SendOrder.read_media`), not a link
    groups: bool = False  # texts in and out of groups, which it can also make
    group_rename: bool = False
    background: bool = False  # the picture behind a thread
    poll: str = "account"  # account, thread (`poll` is given those that lately spoke) or none
    reads_back: bool = False  # `read_back` tells what became of a text that was accepted
    repairs: frozenset[str] = frozenset()
    health: str = ""  # what the provider itself says of a line, in words

    def without(self, lost: Sequence[str]) -> "Capabilities":
        """The card less the named capabilities; names it does not have are ignored."""
        nothing: dict[str, Any] = {
            "effects": frozenset(),
            "repairs": frozenset(),
            "tapbacks_in": "none",
            "poll": "none",
            "most_media": 0,
        }
        may_be_lost = set(self.__slots__) - {"services", "health"}
        return replace(self, **{name: nothing.get(name, False) for name in lost if name in may_be_lost})


@dataclass(frozen=True, slots=True)
class Upload:
    """The bytes behind one of an order's links."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ReplyTarget:
    handle: str
    part: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """A group on a phone. `key` is the provider's name of it, empty until it is made; `members` are the humans'
    addresses, without the line's. In a report empty members or an empty name mean "not said"."""

    key: str
    members: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class SendOrder:
    """One text to one human or into one group, on one line, which is always named to the provider.

    In a group `human` is empty. One without a key is made from its members, and the receipt's `chat` is its key.

    `key` is our id of it; a provider with a true send key never sends it twice. `service` is imessage (no
    fallback), auto (iMessage, then the provider's own SMS from the same number) or sms. `status_url` is where
    status callbacks of this order are to go; its path proves them. `chat` is the provider's name of the thread
    when we know it, a hint. `read_media` fetches one of `media` for providers that take an upload; what it raises
    may be left to the caller.
    """

    key: str
    line: str
    human: str
    text: str
    media: Sequence[str] = ()
    effect: str = ""
    service: str = "imessage"
    chat: str = ""
    first_contact: bool = False
    reply_to: ReplyTarget | None = None
    group: Group | None = None
    status_url: str = ""
    read_media: Callable[[str], Upload] | None = None


@dataclass(frozen=True, slots=True)
class SendReceipt:
    """How a send ended. `unknown` means exactly that: the text may be on the phone.

    `line` is the line that was used, where the provider says so; another one than asked for is a fault of the
    line. `notes` are short words for what was left out on the way, such as `effect_dropped`.
    """

    outcome: Outcome
    handle: str = ""
    state: str = "sent"
    service: str = "imessage"
    error: ProviderError | None = None
    chat: str = ""
    line: str = ""
    downgraded: bool | None = None
    notes: Sequence[str] = ()

    @classmethod
    def refused(cls, error: ProviderError) -> Self:
        """The provider would not take it, or we did not ask: nothing left."""
        return cls(outcome=Outcome.REFUSED, error=error)


@dataclass(frozen=True, slots=True)
class LineReading:
    """What a probe saw. `state` is one of healthy, degraded, down, flagged, unknown; `reasons` are short codes.

    None and empty mean "not said". `lost` names capabilities of the card that are gone for now. Allowances are
    new contacts left in this hour and day. `clock_offset` is the provider's clock less ours, in seconds. `raw` is
    kept for the operator.
    """

    state: str
    reasons: Sequence[str] = ()
    reachable: bool | None = None
    authenticated: bool | None = None
    provider_state: str = ""
    addresses: Sequence[str] = ()
    lost: Sequence[str] = ()
    clock_offset: float | None = None
    software: str = ""
    new_contacts_hour: int | None = None
    new_contacts_day: int | None = None
    resets_at: datetime | None = None
    reputation: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedLine:
    """A line that the provider says the account has."""

    address: str
    state: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """What a lookup said reaches an address: imessage, rcs, sms or unknown; no promise."""

    service: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Installed:
    """What is registered for callbacks now; `secret` is one that the provider made and shows only once."""

    urls: Sequence[str]
    secret: str = ""


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """How a file that lies with the provider is asked for."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread on a phone, for providers that are polled one by one."""

    line: str
    human: str
    chat: str = ""


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
    """What a callback or a poll came to. `line` and `human` are addresses.

    `line` is empty when the account has one line only and the provider does not say it; `human` is empty when
    a handle alone tells whom it is about. `chat` is the provider's name of the thread, if it was said.
    """

    line: str
    human: str
    at: datetime | None = None
    chat: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextArrived(Report):
    """`late`: the provider itself says that it recovered this from a gap."""

    handle: str
    text: str
    media: Sequence[Media] = field(default=())
    service: str = "imessage"
    reply_to: ReplyTarget | None = None
    effect: str = ""
    group: Group | None = None
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTextSeen(Report):
    """A text from our line: our own send mirrored, or somebody writing at the provider. Never inbound.

    `order_key` is our key when the provider mirrors it. In a group `human` is empty.
    """

    handle: str
    text: str
    order_key: str = ""
    state: str = "sent"
    service: str = ""
    group: Group | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChanged(Report):
    """A group's name or members are others now. `human` is who did it, if that was said."""

    group: Group


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged(Report):
    """`state` is one of pending, queued, accepted, sent, delivered, declined, error.

    `order_key` is the key of our order when the provider echoes it.
    """

    handle: str
    state: str
    order_key: str = ""
    service: str = ""
    downgraded: bool | None = None
    error: ProviderError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadReported(Report):
    """The human read our texts up to and including this one; without a handle, up to the time."""

    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TapbackArrived(Report):
    """`mine`: our own tapback mirrored."""

    handle: str
    part: int
    kind: str
    emoji: str = ""
    removed: bool = False
    mine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TapbackTextArrived(Report):
    """A tapback that came as a text: it names its target by quoting it, if at all."""

    handle: str
    text: str
    kind: str
    quoted: str
    emoji: str = ""
    removed: bool = False
    service: str = "sms"
    group: Group | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypingChanged(Report):
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEdited(Report):
    handle: str
    text: str
    part: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TextUnsent(Report):
    handle: str
    part: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OptedOut(Report):
    """The human said a stop word, or the provider says they did."""

    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptedIn(Report):
    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReported(Report):
    """The provider's verdict on a line. `seen` is healthy, degraded, down, flagged or unknown."""

    seen: str
    reason: str
    provider_state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasLost(Report):
    """An address is no longer the account's: texts would leave from another one."""

    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted(Report):
    """The provider's software started anew and tells nothing of the time it was away: poll at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecognised(Report):
    raw_type: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The pace of a line (`lines/pacing.py`); None switches a limit off. Times are in seconds."""

    human_gap: float | None = 1.0  # between two texts to one human
    human_per_minute: int | None = 30
    unanswered: int | None = 5  # texts in a row without an answer, then the human must write
    line_per_second: float | None = 1.0
    line_burst: int | None = 5
    line_in_flight: int | None = 16
    account_calls: int | None = None  # sends of all its lines in `account_seconds`
    account_seconds: float | None = 10.0
    new_per_hour: int | None = 15
    new_per_day: int | None = 50
    new_gap: float | None = 120.0
    lookups_per_day: int | None = 70
    lookup_gap: float | None = 3.0
    hold_seconds: float | None = 1800.0  # how long a text may wait for its line or its turn

    def with_(self, *changes: Mapping[str, Any]) -> Self:
        """These with each of the given settings over the ones before; unknown names are left out."""
        known = {one.name for one in fields(self)}
        merged = {name: value for change in changes for name, value in change.items() if name in known}
        return replace(self, **merged)


# For a network that nobody flags.
UNLIMITED = {one.name: None for one in fields(Limits) if one.name != "hold_seconds"}


class Driver(abc.ABC):
    """One provider. The account comes first, everything else by name; each call keeps to `account.deadlines`.

    What a provider cannot do is left as it is here: refused, and so marked on the card.
    """

    name: str
    card: Capabilities
    deadlines = Deadlines()
    # The callback URL carries the account's secret: the provider signs nothing.
    secret_in_path = False
    # Seconds after acceptance at which `read_back` is asked what became of a text, until it is final.
    read_back_waits: tuple[float, ...] = ()
    # Settings of `Limits` where this provider differs from the defaults.
    limits: Mapping[str, Any] = {}
    # The same while a probe has found capabilities lost.
    limits_without_helper: Mapping[str, Any] = {}

    @abc.abstractmethod
    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        """Send one text, with no retry of any library. Never raises for the provider's sake.

        A lost answer, also a 5xx after the body was sent, is outcome `unknown`.
        """

    def can_repeat(self, account: Account, *, line: str) -> bool:
        """Whether sending an order again under its key is harmless now: the provider has a true send key.

        Raises `ProviderCallFailed` when the provider could not tell.
        """
        return self.card.send_key

    @abc.abstractmethod
    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        """Look a lost send up: a receipt when it left, None for an honest no (`known` handles are other texts).

        Raises `ProviderCallFailed` when the provider could not tell.
        """

    def read_back(self, account: Account, *, line: str, human: str, handle: str) -> list[bytes]:
        """What became of an accepted text, as raw callbacks to be stored; raises `ProviderCallFailed`."""
        return []

    def tapback(
        self,
        account: Account,
        *,
        line: str,
        human: str,
        handle: str,
        part: int,
        kind: str,
        emoji: str,
        remove: bool,
        chat: str = "",
    ) -> None:
        """Put or take back a tapback; raises `ProviderCallFailed`. Safe to repeat.

        In a group, here as in `typing` and `mark_read`, `human` is empty and `chat` is the group's key.

        `kind` is love, like, dislike, laugh, emphasize or question, or custom with its `emoji`.
        """
        _refuse("take back a tapback" if remove else "put a tapback")

    def typing(self, account: Account, *, line: str, human: str, on: bool, chat: str = "") -> None:
        """Show or end the typing bubble; raises `ProviderCallFailed`."""
        _refuse("show that somebody is typing")

    def mark_read(self, account: Account, *, line: str, human: str, chat: str = "") -> None:
        """Send a read receipt for the thread; raises `ProviderCallFailed`."""
        _refuse("send read receipts")

    def background(self, account: Account, *, line: str, human: str, media: Upload | None, chat: str = "") -> None:
        """Put a picture behind the thread, or with None take it away; raises `ProviderCallFailed`. Safe to repeat."""
        _refuse("set a chat background")

    def rename_group(self, account: Account, *, line: str, chat: str, name: str) -> None:
        """Give a group another name on every member's phone; raises `ProviderCallFailed`. Safe to repeat."""
        _refuse("rename a group")

    def edit(
        self, account: Account, *, line: str, human: str, handle: str, part: int, text: str, chat: str = ""
    ) -> None:
        """Change a sent text on the phone; raises `ProviderCallFailed`. Not safe to repeat: each edit counts."""
        _refuse("edit a text")

    def unsend(self, account: Account, *, line: str, human: str, handle: str, part: int, chat: str = "") -> None:
        """Take a sent text off the phone; raises `ProviderCallFailed`."""
        _refuse("unsend a text")

    def lookup_service(self, account: Account, *, line: str, address: str) -> ServiceAnswer:
        """Which service reaches an address; raises `ProviderCallFailed`. Watched and capped: callers cache it."""
        _refuse("look up the service of a number")

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        """How to ask for a file that lies with the provider; None when `url` is not its own.

        Its own lie where the account's calls go, an operator's setting; everything else is a stranger's address.
        """
        return None

    @abc.abstractmethod
    def probe(self, account: Account, *, line: str) -> LineReading:
        """Look at the line; never raises: no answer is `down`."""

    @abc.abstractmethod
    def list_lines(self, account: Account) -> list[ListedLine]:
        """The lines that the account has, with the provider's word on each; raises `ProviderCallFailed`."""

    @abc.abstractmethod
    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        """Ask for callbacks at `url`; repeating it changes nothing. Raises `ProviderCallFailed`."""

    def poll(self, account: Account, *, cursor: str, threads: Sequence[Thread] = ()) -> tuple[list[bytes], str]:
        """Raw callbacks after `cursor`, and the next cursor; raises `ProviderCallFailed`.

        What a callback brought before must come out with the same key (`identify`).
        """
        return [], cursor

    @abc.abstractmethod
    def prove(
        self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str, order_key: str = ""
    ) -> None:
        """Raise `CallbackRefused` unless the raw bytes come from the provider, under any secret valid now.

        `url` is the public one, as configured. `order_key` is set when its path carried our token for that
        order, which is proof enough for a provider that does not sign status callbacks.
        """

    @abc.abstractmethod
    def identify(self, account: Account, *, body: bytes) -> CallbackId:
        """The callback's key and thread; raises `ValueError` when the body has none. Pure."""

    @abc.abstractmethod
    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        """What the callback says; unknown words become `Unrecognised`. Pure."""

    def repair(self, account: Account, *, line: str, deed: str) -> None:
        """One of the card's `repairs`; raises `ProviderCallFailed`."""
        _refuse(f"do {deed!r}")


def secret_in_path(account: Account, url: str) -> bool:
    """Whether the last part of a callback's URL is a secret of the account that is valid now, in constant time."""
    given = urlsplit(url).path.rpartition("/")[2].encode()
    same = [hmac.compare_digest(given, secret.encode()) for secret in account.callback_secrets]
    return any(same)


def _refuse(what: str) -> NoReturn:
    raise not_supported(what)
