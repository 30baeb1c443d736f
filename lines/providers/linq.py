"""The driver of Linq's partner API v3, over their own client library with its retries off.

Their typed callback objects carry wrong classes, so callbacks and answers alike are read as the JSON they are.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import linq
from linq.types import MessageContentParam, WebhookEventType
from standardwebhooks import Webhook, WebhookVerificationError

from lines.effects import BUBBLE_EFFECTS, EFFECTS
from lines.providers.base import (
    Account,
    CallbackId,
    CallbackRefused,
    Capabilities,
    Driver,
    ErrorClass,
    Installed,
    LineReading,
    LineReported,
    ListedLine,
    Media,
    MediaRequest,
    OptedOut,
    Outcome,
    OwnTextSeen,
    ProviderCallFailed,
    ProviderError,
    ReadReported,
    ReplyTarget,
    Report,
    Scope,
    SendOrder,
    SendReceipt,
    ServiceAnswer,
    StatusChanged,
    TapbackArrived,
    TextArrived,
    TextEdited,
    Thread,
    TypingChanged,
    Unrecognised,
)

# The shape of callbacks that this driver reads, asked for in the subscription's URL.
WEBHOOK_VERSION = "2026-02-03"
EVENTS: list[WebhookEventType] = [
    "message.sent",
    "message.received",
    "message.read",
    "message.delivered",
    "message.failed",
    "message.edited",
    "reaction.added",
    "reaction.removed",
    "chat.typing_indicator.started",
    "chat.typing_indicator.stopped",
    "phone_number.status_updated",
    "phone_number.assigned",
    "phone_number.released",
]

_OTHER_NAMES = {"happy_birthday": "balloons", "hearts": "love", "sparkles": "celebration"}
_SIX = {"love", "like", "dislike", "laugh", "emphasize", "question"}
_SERVICES = {"iMessage": "imessage", "RCS": "rcs", "SMS": "sms"}
_PREFERRED = {"imessage": "iMessage", "sms": "SMS"}
_STATES = {
    "HEALTHY": "healthy",
    "ACTIVE": "healthy",
    "AT_RISK": "degraded",
    "CRITICAL": "flagged",
    "FLAGGED": "flagged",
}
_STATES["FLAGGED"] = "flagged"
# Once a message; told by a poll with the same key.
_FACTS = {"message.sent", "message.received", "message.delivered", "message.read", "message.failed"}
_OPT_OUT = "OPTED_OUT"

# Their clock is not ours, and a callback may still be on its way while we poll.
_OVERLAP = timedelta(minutes=5)
_FULL_ROUND = timedelta(minutes=10)
_PAGE = 50
_MOST_PAGES = 20
_RETRY_AFTER = 60.0

_PERMANENT_HUMAN = {2024: "opted_out", 2026: "blocked"}
_COUNTING = {4001, 4002, 4006, 4007, 4008}
_RCS_SIDE = {4004, 4009, 4010}


class LinqDriver(Driver):
    """See `lines.providers.base.Driver`. A chat is Linq's thread of one of our lines and a human."""

    name = "linq"
    card = Capabilities(
        services=("imessage", "rcs", "sms"),
        send_key=True,
        effects=frozenset(EFFECTS) - {"shooting_star"},
        effect_on_first=False,
        reply=True,
        tapback=True,
        tapback_remove=True,
        tapback_emoji=True,
        typing=True,
        typing_end=True,
        typing_in=True,
        read_receipt=True,
        reads_in=True,
        lookup=True,
        edit=True,
        most_media=40,
        groups=True,
        poll="thread",
        reads_back=True,
        health="reputation of the line, and flags",
    )
    read_back_waits = (120.0, 600.0)

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        try:
            return self._send(account, order)
        except ProviderCallFailed as failed:
            return _not_accepted(failed.error)

    def _send(self, account: Account, order: SendOrder) -> SendReceipt:
        chat = order.chat
        if not chat and not order.first_contact:
            chat = _found_chat(account, order.line, order.human)
        if chat:
            try:
                return self._send_into(account, order, chat)
            except ProviderCallFailed as failed:
                if not _is_gone(failed.error):
                    raise
        return self._open_chat(account, order)

    def _send_into(self, account: Account, order: SendOrder, chat: str) -> SendReceipt:
        message, notes = _content(order, first=False)
        with _calling(account, deadline=account.deadlines.send) as client:
            answer = client.chats.messages.with_raw_response.send(chat, message=message)
        body = _object(answer)
        return _accepted(body.get("message"), chat=str(body.get("chat_id") or chat), notes=notes)

    def _open_chat(self, account: Account, order: SendOrder) -> SendReceipt:
        """The same line and human again is the same chat, so this is safe to repeat too."""
        message, notes = _content(order, first=True)
        with _calling(account, deadline=account.deadlines.send) as client:
            answer = client.chats.with_raw_response.create(from_=order.line, to=[order.human], message=message)
        chat = _mapping(_object(answer).get("chat"))
        return _accepted(chat.get("message"), chat=str(chat.get("id") or ""), notes=notes)

    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        chat = order.chat or _found_chat(account, order.line, order.human)
        if not chat:
            return None
        for message in _messages_since(account, chat, since, deadline=account.deadlines.find_sent):
            mine = message.get("is_from_me") and str(message.get("id")) not in known
            if mine and _text_of(message.get("parts")) == order.text:
                return _accepted(message, chat=chat)
        return None

    def read_back(self, account: Account, *, line: str, human: str, handle: str) -> list[bytes]:
        with _calling(account, deadline=account.deadlines.find_sent) as client:
            answer = client.messages.with_raw_response.retrieve(handle)
        return _as_callbacks(_object(answer), line=line, human=human)

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
        given: dict[str, Any] = {"type": kind} if kind in _SIX else {"type": "custom", "custom_emoji": emoji}
        with _calling(account, deadline=account.deadlines.tapback) as client:
            client.messages.with_raw_response.add_reaction(
                handle, operation="remove" if remove else "add", part_index=part, **given
            )

    def typing(self, account: Account, *, line: str, human: str, on: bool, chat: str = "") -> None:
        chat = chat or _found_chat(account, line, human)
        if not chat:
            return
        with _calling(account, deadline=account.deadlines.typing) as client:
            typing = client.chats.typing.with_raw_response
            (typing.start if on else typing.stop)(chat)

    def mark_read(self, account: Account, *, line: str, human: str, chat: str = "") -> None:
        chat = chat or _found_chat(account, line, human)
        if not chat:
            return
        with _calling(account, deadline=account.deadlines.mark_read) as client:
            client.chats.with_raw_response.mark_as_read(chat)

    def edit(
        self, account: Account, *, line: str, human: str, handle: str, part: int, text: str, chat: str = ""
    ) -> None:
        with _calling(account, deadline=account.deadlines.edit) as client:
            client.messages.with_raw_response.update(handle, text=text, part_index=part)

    def lookup_service(self, account: Account, *, line: str, address: str) -> ServiceAnswer:
        with _calling(account, deadline=account.deadlines.lookup) as client:
            answer = client.capability.with_raw_response.check_i_message(address=address, from_=line)
        body = _object(answer)
        service = "imessage" if body.get("available") else _SERVICES.get(str(body.get("selected_service")), "unknown")
        return ServiceAnswer(service=service, at=datetime.now(UTC))

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        own = url.startswith(f"{account.base_url.rstrip('/')}/")
        return MediaRequest(url, {"Authorization": f"Bearer {account.token}"}) if own else None

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            numbers, clock_offset = _numbers(account, deadline=account.deadlines.probe)
        except ProviderCallFailed as failed:
            code = failed.error.code if failed.error else "no_answer"
            answered = failed.error is not None and failed.error.code != "unreachable"
            return LineReading("down", [code], reachable=answered, authenticated=False if answered else None)
        addresses = [str(number.get("phone_number")) for number in numbers]
        mine = next((number for number in numbers if number.get("phone_number") == line), None)
        if mine is None:
            return LineReading("down", ["line_not_in_account"], reachable=True, authenticated=True, addresses=addresses)
        reputation = str(_mapping(mine.get("reputation")).get("status") or "")
        state = _STATES.get(reputation, "unknown")
        return LineReading(
            state,
            [] if state == "healthy" else [reputation.lower() or "no_reputation"],
            reachable=True,
            authenticated=True,
            provider_state=reputation,
            addresses=addresses,
            clock_offset=clock_offset,
            reputation=reputation,
            raw=mine,
        )

    def list_lines(self, account: Account) -> list[ListedLine]:
        numbers, _ = _numbers(account, deadline=account.deadlines.list_lines)
        return [
            ListedLine(
                address=str(number.get("phone_number")),
                state=str(_mapping(number.get("reputation")).get("status") or ""),
                name=str(number.get("line_type") or ""),
            )
            for number in numbers
        ]

    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        """One subscription for all lines, with the callbacks' version pinned in its URL; its secret is shown once."""
        target = f"{url}?version={WEBHOOK_VERSION}"
        deadline = account.deadlines.install_callbacks
        with _calling(account, deadline=deadline) as client:
            listed = _object(client.webhook_subscriptions.with_raw_response.list())
        known = [one for one in _mappings(listed.get("subscriptions")) if one.get("target_url") == target]
        if not known:
            with _calling(account, deadline=deadline) as client:
                made = client.webhook_subscriptions.with_raw_response.create(
                    target_url=target, subscribed_events=EVENTS
                )
            return Installed([target], secret=str(_object(made).get("signing_secret") or ""))
        if not known[0].get("is_active") or set(known[0].get("subscribed_events") or []) != set(EVENTS):
            with _calling(account, deadline=deadline) as client:
                client.webhook_subscriptions.with_raw_response.update(
                    str(known[0].get("id")), is_active=True, subscribed_events=EVENTS
                )
        return Installed([target])

    def poll(self, account: Account, *, cursor: str, threads: Sequence[Thread] = ()) -> tuple[list[bytes], str]:
        """Messages of the chats that have changed; now and then of all that lately spoke, in case one did not say so.

        The cursor holds their newest time that was seen and our time of the last full round.
        """
        now, (seen, swept) = datetime.now(UTC), _looked(cursor)
        is_full = swept is None or now - swept > _FULL_ROUND
        since = min(seen or now, swept if is_full and swept else now) - _OVERLAP
        asked = _changed_chats(account, since)
        if is_full:
            known = {(thread.line, thread.human) for thread in asked}
            asked += [thread for thread in threads if (thread.line, thread.human) not in known]
            swept = now
        found: list[bytes] = []
        for thread in asked:
            chat = thread.chat or _found_chat(account, thread.line, thread.human)
            news = list(_messages_since(account, chat, since, deadline=account.deadlines.poll)) if chat else []
            for message in sorted(news, key=_created):
                found += _as_callbacks(message, line=thread.line, human=thread.human)
                seen = max(seen or _newest(message), _newest(message))
        return found, f"{seen.isoformat() if seen else ''} {swept.isoformat() if swept else ''}"

    def prove(
        self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str, order_key: str = ""
    ) -> None:
        """Standard Webhooks over the raw bytes, within five minutes, under any of the account's secrets."""
        lower = {name.lower(): value for name, value in headers.items()}
        why = "The account has no callback secret."
        for secret in account.callback_secrets:
            try:
                Webhook(secret).verify(body, lower)
            except (WebhookVerificationError, ValueError, OverflowError) as refused:
                why = str(refused) or type(refused).__name__
            else:
                return
        raise CallbackRefused(why)

    def identify(self, account: Account, *, body: bytes) -> CallbackId:
        event = _event(body)
        data = event["data"]
        message = data.get("id") or data.get("message_id")
        fact = event["event_type"] in _FACTS and message
        chat = _mapping(data.get("chat")).get("id") or data.get("chat_id")
        return CallbackId(
            key=f"{event['event_type']}:{message}" if fact else str(event["event_id"]),
            thread=f"linq/{chat}" if chat else "",
            at=_time(event.get("created_at")),
        )

    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        event = _event(body)
        reading = _READINGS.get(event["event_type"])
        if reading is None:
            return [Unrecognised(line="", human="", raw_type=str(event["event_type"]))]
        return reading(event["event_type"], event["data"])


# --- calls


@contextmanager
def _calling(account: Account, *, deadline: float) -> Iterator[linq.LinqAPIV3]:
    """Their client for one call, whose failure is told in our words. An outcome that nobody knows is None."""
    client = linq.LinqAPIV3(
        api_key=account.token,
        webhook_secret="",
        base_url=account.base_url,
        timeout=deadline,
        max_retries=0,
        http_client=_http(),
    )
    try:
        yield client
    except linq.APIStatusError as refused:
        raise ProviderCallFailed(_error_of(refused)) from refused
    except linq.APIConnectionError as lost:
        if isinstance(lost.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            raise ProviderCallFailed(_unreachable()) from lost
        raise ProviderCallFailed(None) from lost


@functools.cache
def _http() -> httpx.Client:
    """One for all threads: no proxies from the environment, no redirects."""
    return httpx.Client(trust_env=False, follow_redirects=False)


def _numbers(account: Account, *, deadline: float) -> tuple[list[dict[str, Any]], float | None]:
    """The account's numbers, and how far their clock is ahead of ours, in seconds."""
    with _calling(account, deadline=deadline) as client:
        answer = client.phone_numbers.with_raw_response.list()
    return _mappings(_object(answer).get("phone_numbers")), _clock_offset(answer.headers.get("date"))


def _changed_chats(account: Account, since: datetime) -> list[Thread]:
    """The 1:1 chats of all the account's lines that have changed since."""
    changed: list[Thread] = []
    cursor: Any = linq.omit
    for _ in range(_MOST_PAGES):
        with _calling(account, deadline=account.deadlines.poll) as client:
            answer = _object(client.chats.with_raw_response.list_chats(cursor=cursor, limit=100))
        for chat in _mappings(answer.get("chats")):
            ours = [str(one.get("handle")) for one in _mappings(chat.get("handles")) if one.get("is_me")]
            theirs = [str(one.get("handle")) for one in _mappings(chat.get("handles")) if not one.get("is_me")]
            is_ours = not chat.get("is_group") and len(ours) == len(theirs) == 1
            if is_ours and (_time(chat.get("updated_at")) or since) >= since:
                changed.append(Thread(ours[0], theirs[0], str(chat.get("id"))))
        cursor = answer.get("next_cursor")
        if not cursor:
            break
    return changed


def _found_chat(account: Account, line: str, human: str) -> str:
    """The 1:1 chat of a line and a human; empty when there is none. Never a group that they are both in."""
    with _calling(account, deadline=account.deadlines.typing) as client:
        answer = client.chats.with_raw_response.list_chats(from_=line, to=human, limit=100)
    for chat in _mappings(_object(answer).get("chats")):
        people = {str(handle.get("handle")) for handle in _mappings(chat.get("handles"))}
        if not chat.get("is_group") and people == {line, human}:
            return str(chat.get("id"))
    return ""


def _messages_since(account: Account, chat: str, since: datetime, *, deadline: float) -> Iterator[dict[str, Any]]:
    """The chat's messages that are younger or have changed since; the order of their list is not documented."""
    cursor: Any = linq.omit
    for _ in range(_MOST_PAGES):
        try:
            with _calling(account, deadline=deadline) as client:
                answer = client.chats.messages.with_raw_response.list(chat, cursor=cursor, limit=_PAGE)
        except ProviderCallFailed as failed:
            if _is_gone(failed.error):
                return
            raise
        body = _object(answer)
        page = _mappings(body.get("messages"))
        yield from (message for message in page if _newest(message) >= since)
        cursor = body.get("next_cursor")
        newest_first = len(page) > 1 and _created(page[0]) > _created(page[-1])
        if not cursor or (newest_first and _created(page[-1]) < since):
            return


def _content(order: SendOrder, *, first: bool) -> tuple[MessageContentParam, list[str]]:
    """The message as Linq wants it, and what had to be left out of it: a first one has no effect and no reply."""
    message: dict[str, Any] = {"idempotency_key": order.key}
    notes = []
    text = [{"type": "text", "value": order.text}] if order.text else []
    message["parts"] = text + [{"type": "media", "url": url} for url in order.media]
    if order.service in _PREFERRED:
        message["preferred_service"] = _PREFERRED[order.service]
    if order.effect in LinqDriver.card.effects and not first:
        message["effect"] = {"type": "bubble" if order.effect in BUBBLE_EFFECTS else "screen", "name": order.effect}
    elif order.effect:
        notes.append("effect_dropped")
    if order.reply_to and not first:
        message["reply_to"] = {"message_id": order.reply_to.handle, "part_index": order.reply_to.part}
    elif order.reply_to:
        notes.append("reply_dropped")
    return MessageContentParam(**message), notes  # type: ignore[typeddict-item]


def _accepted(sent: Any, *, chat: str, notes: Sequence[str] = ()) -> SendReceipt:
    """A receipt for what the provider has taken; without the message's id nobody can tell."""
    message = _mapping(sent)
    if not message.get("id"):
        return SendReceipt(Outcome.UNKNOWN)
    asked, used = message.get("preferred_service"), message.get("service")
    return SendReceipt(
        Outcome.ACCEPTED,
        handle=str(message["id"]),
        state=_status(message),
        service=_SERVICES.get(str(used), "imessage"),
        chat=chat,
        line=str(_mapping(message.get("from_handle")).get("handle") or ""),
        downgraded=_downgraded(asked, used),
        notes=notes,
    )


def _not_accepted(error: ProviderError | None) -> SendReceipt:
    if error is None or error.error_class is ErrorClass.UNKNOWN:
        return SendReceipt(Outcome.UNKNOWN, error=error)
    return SendReceipt(Outcome.REFUSED, error=error)


# --- errors


def _error_of(refused: linq.APIStatusError) -> ProviderError | None:
    """Their error in our words; None when a failing server does not say what it did."""
    body = _mapping(refused.body)
    code = body.get("code")
    text = str(body.get("message") or "")[:500]
    wait = _seconds(body.get("retry_after")) or _seconds(refused.response.headers.get("retry-after"))
    if refused.status_code == 401:
        return ProviderError(ErrorClass.LINE_DOWN, str(code or "http_401"), text, scope=Scope.ACCOUNT)
    if refused.status_code == 429:
        return ProviderError(ErrorClass.HELD, str(code or "http_429"), text, retry_after=wait or _RETRY_AFTER)
    if isinstance(code, int):
        return error_of_code(code, text, retry_after=wait)
    if refused.status_code == 503:
        return ProviderError(ErrorClass.RETRYABLE, "http_503", text, retry_after=wait)
    if refused.status_code >= 500:
        return None
    return ProviderError(ErrorClass.PERMANENT, f"http_{refused.status_code}", text)


def error_of_code(code: int, text: str, *, retry_after: float | None = None) -> ProviderError:
    """What one of Linq's error codes means for us: contract/lines.md 4.3."""

    def told(error_class: ErrorClass, scope: Scope = Scope.MESSAGE, **more: Any) -> ProviderError:
        return ProviderError(error_class, str(code), text, scope=scope, **more)

    if code == 1007:
        return told(ErrorClass.HELD, retry_after=retry_after or _RETRY_AFTER)
    if code in {2004, 2005}:
        return told(ErrorClass.LINE_DOWN, Scope.ACCOUNT)
    if code == 2008:
        return told(ErrorClass.HELD, Scope.HUMAN, until_inbound=True)
    if code in {2015, 2027}:
        return told(ErrorClass.LINE_DOWN, Scope.LINE)
    if code in _PERMANENT_HUMAN:
        return told(ErrorClass.PERMANENT, Scope.HUMAN, reason=_PERMANENT_HUMAN[code])
    if code == 3007:
        return told(ErrorClass.UNKNOWN)
    if 3000 <= code < 4000 or code in _RCS_SIDE:
        return told(ErrorClass.RETRYABLE, retry_after=retry_after)
    if code == 4005:
        return told(ErrorClass.RECIPIENT_UNREACHABLE, Scope.HUMAN)
    return told(ErrorClass.PERMANENT, counts_against_line=code in _COUNTING)


def _unreachable() -> ProviderError:
    return ProviderError(ErrorClass.LINE_DOWN, "unreachable", "The provider cannot be reached.", scope=Scope.ACCOUNT)


def _is_gone(error: ProviderError | None) -> bool:
    """Whether the chat or message is not there any more."""
    return error is not None and error.code in {"2001", "2002", "2003", "http_404"}


# --- callbacks


def _message_reports(kind: str, data: dict[str, Any]) -> list[Report]:
    chat = _mapping(data.get("chat"))
    inbound = data.get("direction") == "inbound"
    # A callback about a text of ours does not say whom it went to; what we read back does.
    human = _mapping(data.get("sender_handle" if inbound else "to_handle")).get("handle")
    thread: dict[str, Any] = {
        "line": str(_mapping(chat.get("owner_handle")).get("handle") or ""),
        "human": str(human or ""),
        "chat": str(chat.get("id") or ""),
        "handle": str(data["id"]),
    }
    if kind == "message.received":
        return _arrived(data, chat, thread) if inbound else [_own(data, thread)]
    if kind == "message.sent" and not data.get("idempotency_key"):
        return [_own(data, thread)]
    if kind == "message.read":
        return [ReadReported(**thread, at=_time(data.get("read_at")))] if not inbound else []
    state = kind.removeprefix("message.")
    return [
        StatusChanged(
            **thread,
            state=state,
            at=_time(data.get(f"{state}_at")),
            order_key=str(data.get("idempotency_key") or ""),
            service=_SERVICES.get(str(data.get("service")), ""),
            downgraded=_downgraded(data.get("preferred_service"), data.get("service")),
        )
    ]


def _arrived(data: dict[str, Any], chat: dict[str, Any], thread: dict[str, Any]) -> list[Report]:
    parts = _mappings(data.get("parts"))
    at, text = _time(data.get("sent_at")), _text_of(parts)
    reply = _mapping(data.get("reply_to"))
    arrived = TextArrived(
        **thread,
        at=at,
        text=text,
        media=tuple(
            Media(str(part.get("url") or ""), str(part.get("mime_type") or ""), part.get("size_bytes"))
            for part in parts
            if part.get("type") == "media"
        ),
        service=_SERVICES.get(str(data.get("service")), "imessage"),
        reply_to=ReplyTarget(str(reply["message_id"]), int(reply.get("part_index") or 0)) if reply else None,
        effect=_effect(data.get("effect")),
        group=thread["chat"] if chat.get("is_group") else "",
        late=bool(data.get("reconciled_at")),
    )
    if _mapping(chat.get("health_status")).get("status") != _OPT_OUT:
        return [arrived]
    return [arrived, OptedOut(line=thread["line"], human=thread["human"], chat=thread["chat"], at=at, word=text[:30])]


def _own(data: dict[str, Any], thread: dict[str, Any]) -> OwnTextSeen:
    """Without our key: somebody wrote at Linq, outside of us."""
    return OwnTextSeen(
        **thread,
        at=_time(data.get("sent_at")),
        text=_text_of(data.get("parts")),
        order_key=str(data.get("idempotency_key") or ""),
        service=_SERVICES.get(str(data.get("service")), ""),
    )


def _failed(kind: str, data: dict[str, Any]) -> list[Report]:
    """Names the message alone; `delivered` may follow all the same."""
    code = data.get("code")
    text = str(data.get("reason") or "")[:500]
    error = error_of_code(code, text) if isinstance(code, int) else None
    return [
        StatusChanged(
            line="",
            human="",
            chat=str(data.get("chat_id") or ""),
            handle=str(data["message_id"]),
            state="error",
            at=_time(data.get("failed_at")),
            error=error or ProviderError(ErrorClass.PERMANENT, "failed", text),
        )
    ]


def _edited(kind: str, data: dict[str, Any]) -> list[Report]:
    if data.get("direction") != "inbound":
        return []
    chat, part = _mapping(data.get("chat")), _mapping(data.get("part"))
    return [
        TextEdited(
            line=str(_mapping(chat.get("owner_handle")).get("handle") or ""),
            human=str(_mapping(data.get("sender_handle")).get("handle") or ""),
            chat=str(chat.get("id") or ""),
            handle=str(data["id"]),
            part=int(part.get("index") or 0),
            text=str(part.get("text") or ""),
            at=_time(data.get("edited_at")),
        )
    ]


def _reaction(kind: str, data: dict[str, Any]) -> list[Report]:
    given = str(data.get("reaction_type"))
    if given not in _SIX | {"custom"}:
        return [Unrecognised(line="", human="", raw_type=f"{kind}:{given}"[:100])]
    mine = bool(data.get("is_from_me"))
    return [
        TapbackArrived(
            line="",
            human="" if mine else str(_mapping(data.get("from_handle")).get("handle") or data.get("from") or ""),
            chat=str(data.get("chat_id") or ""),
            handle=str(data["message_id"]),
            part=int(data.get("part_index") or 0),
            kind=given,
            emoji=str(data.get("custom_emoji") or ""),
            removed=kind == "reaction.removed",
            mine=mine,
            at=_time(data.get("reacted_at")),
        )
    ]


def _typing(kind: str, data: dict[str, Any]) -> list[Report]:
    human = str(_mapping(data.get("actor_handle")).get("handle") or "")
    return [TypingChanged(line="", human=human, chat=str(data["chat_id"]), on=kind.endswith(".started"))]


def _line_reports(kind: str, data: dict[str, Any]) -> list[Report]:
    said = [str(data.get("new_status") or ""), str(data.get("new_reputation") or "")]
    if kind == "phone_number.released":
        said = ["RELEASED"]
    states = [_STATES.get(word, "unknown") for word in said if word]
    seen = "down" if said == ["RELEASED"] else max(states, key=_WORST.index, default="unknown")
    return [
        LineReported(
            line=str(data["phone_number"]),
            human="",
            at=_time(data.get("changed_at")),
            seen=seen,
            reason=next((word.lower() for word in said if _STATES.get(word) == seen), said[0].lower()),
            provider_state="/".join(said),
        )
    ]


def _nothing(kind: str, data: dict[str, Any]) -> list[Report]:
    """Known, and nothing for us to do."""
    return []


_WORST = ["healthy", "unknown", "degraded", "flagged", "down"]
_READINGS: dict[str, Callable[[str, dict[str, Any]], list[Report]]] = {
    **dict.fromkeys(_FACTS - {"message.failed"}, _message_reports),
    "message.failed": _failed,
    "message.edited": _edited,
    **dict.fromkeys(["reaction.added", "reaction.removed"], _reaction),
    **dict.fromkeys(["chat.typing_indicator.started", "chat.typing_indicator.stopped"], _typing),
    **dict.fromkeys(["phone_number.status_updated", "phone_number.released"], _line_reports),
    **dict.fromkeys(["phone_number.assigned", "chat.created", "participant.added", "participant.removed"], _nothing),
}


def _as_callbacks(message: dict[str, Any], *, line: str, human: str) -> list[bytes]:
    """What callbacks would have told of a message that was read back, with their keys."""
    mine = bool(message.get("is_from_me"))
    data = {
        **message,
        "chat": {"id": message.get("chat_id"), "owner_handle": {"handle": line}},
        "direction": "outbound" if mine else "inbound",
        "sender_handle": {"handle": line if mine else human},
        "to_handle": {"handle": human if mine else line},
        "message_id": message.get("id"),
        # A callback says "auto" where the message says nothing.
        "preferred_service": message.get("preferred_service") or "auto",
    }
    if not mine:
        kinds = ["received"]
    elif message.get("delivery_status") == "failed":
        kinds = ["failed"]
    else:
        told = {"delivered": message.get("delivered_at"), "read": message.get("read_at")}
        kinds = ["sent"] * bool(message.get("sent_at")) + [kind for kind, at in told.items() if at]
    return [
        json.dumps(
            {
                "event_type": f"message.{kind}",
                "event_id": f"read back {message.get('id')} {kind}",
                "created_at": message.get("updated_at") or message.get("created_at"),
                "data": data,
            }
        ).encode()
        for kind in kinds
    ]


# --- words and values


def _event(body: bytes) -> dict[str, Any]:
    event = json.loads(body)
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict) or not event.get("event_type"):
        raise ValueError("A callback is an object with event_id, event_type and data.")
    return event


def _object(answer: Any) -> dict[str, Any]:
    """The JSON object of an answer; empty when it is none."""
    try:
        return _mapping(json.loads(answer.read()))
    except ValueError:
        return {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text_of(parts: Any) -> str:
    return "\n".join(str(part.get("value") or "") for part in _mappings(parts) if part.get("type") in {"text", "link"})


def _effect(effect: Any) -> str:
    name = str(_mapping(effect).get("name") or "")
    name = _OTHER_NAMES.get(name, name)
    return name if name in LinqDriver.card.effects else ""


def _status(message: dict[str, Any]) -> str:
    words = {"failed": "error", "read": "delivered", "received": "sent"}
    status = str(message.get("delivery_status") or "pending")
    return words.get(status, status)


def _downgraded(asked: Any, used: Any) -> bool | None:
    """Whether it went by a lesser service than was asked for; nothing said counts as iMessage wished."""
    if used not in _SERVICES:
        return None
    wished = asked if asked in _SERVICES else "iMessage"
    order = list(_SERVICES)
    return order.index(str(used)) > order.index(str(wished))


def _created(message: dict[str, Any]) -> datetime:
    return _time(message.get("created_at")) or datetime.min.replace(tzinfo=UTC)


def _newest(message: dict[str, Any]) -> datetime:
    """When something last happened to the message."""
    times = [_time(message.get(name)) for name in ("created_at", "sent_at", "delivered_at", "read_at", "reconciled_at")]
    return max([time for time in times if time], default=_created(message))


def _time(text: Any) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _looked(cursor: str) -> tuple[datetime | None, datetime | None]:
    seen, _, swept = cursor.partition(" ")
    return _time(seen), _time(swept)


def _clock_offset(date: str | None) -> float | None:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds() if date else None
    except (TypeError, ValueError):
        return None


def _seconds(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


DRIVER = LinqDriver()
