"""The driver of Linq's partner API v3, over their own client library."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from linq.types import MessageContentParam, WebhookEventType
from standardwebhooks import Webhook, WebhookVerificationError

from lines.effects import BUBBLE_EFFECTS
from lines.providers.base import (
    Account,
    CallbackId,
    CallbackRefused,
    Capabilities,
    Driver,
    ErrorClass,
    Installed,
    LineReading,
    ListedLine,
    MediaRequest,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    Report,
    Scope,
    SendOrder,
    SendReceipt,
    ServiceAnswer,
    Thread,
)
from lines.providers.linq import callbacks
from lines.providers.linq.callbacks import as_callbacks, as_group_callback
from lines.providers.linq.chats import (
    changed_chats,
    created,
    found_chat,
    found_group,
    messages_since,
    newest,
    thread_of,
)
from lines.providers.linq.wire import calling, is_gone, object_of
from lines.providers.linq.words import (
    PREFERRED,
    SENT_EFFECTS,
    SERVICES,
    SIX,
    STATES,
    mapping,
    mappings,
    status_of,
    text_of,
    time_of,
    was_downgraded,
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
    "chat.group_name_updated",
    "chat.typing_indicator.started",
    "chat.typing_indicator.stopped",
    "phone_number.status_updated",
    "phone_number.assigned",
    "phone_number.released",
]


# Their clock is not ours, and a callback may still be on its way while we poll.
_OVERLAP = timedelta(minutes=5)
# A chat that changed so long before what was seen last has been read: every look at one is a call.
_LAG = timedelta(seconds=30)
_FULL_ROUND = timedelta(minutes=10)


class LinqDriver(Driver):
    """See `lines.providers.base.Driver`. A chat is Linq's thread of one of our lines and a human, or a group."""

    name = "linq"
    card = Capabilities(
        services=("imessage", "rcs", "sms"),
        send_key=True,
        effects=SENT_EFFECTS,
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
        group_rename=True,
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
        if order.group and order.group.key:
            return self._send_into(account, order, order.group.key)
        chat = "" if order.group else order.chat
        if not chat and not order.first_contact and not order.group:
            chat = found_chat(account, order.line, order.human)
        if chat:
            try:
                return self._send_into(account, order, chat)
            except ProviderCallFailed as failed:
                if not is_gone(failed.error):
                    raise
        return self._open_chat(account, order)

    def _send_into(self, account: Account, order: SendOrder, chat: str) -> SendReceipt:
        message, notes = _content(order, first=False)
        with calling(account, deadline=account.deadlines.send) as client:
            answer = client.chats.messages.with_raw_response.send(chat, message=message)
        body = object_of(answer)
        return _accepted(body.get("message"), chat=str(body.get("chat_id") or chat), notes=notes)

    def _open_chat(self, account: Account, order: SendOrder) -> SendReceipt:
        """The same line and people again are the same chat, so this is safe to repeat too."""
        people = list(order.group.members) if order.group else [order.human]
        message, notes = _content(order, first=True)
        with calling(account, deadline=account.deadlines.send) as client:
            answer = client.chats.with_raw_response.create(from_=order.line, to=people, message=message)
        chat = mapping(object_of(answer).get("chat"))
        return _accepted(chat.get("message"), chat=str(chat.get("id") or ""), notes=notes)

    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        if order.group:
            chat = found_group(account, order.line, order.group)
        else:
            chat = order.chat or found_chat(account, order.line, order.human)
        if not chat:
            return None
        for message in messages_since(account, chat, since, deadline=account.deadlines.find_sent):
            mine = message.get("is_from_me") and str(message.get("id")) not in known
            if mine and text_of(message.get("parts")) == order.text:
                return _accepted(message, chat=chat)
        return None

    def read_back(self, account: Account, *, line: str, human: str, handle: str) -> list[bytes]:
        with calling(account, deadline=account.deadlines.find_sent) as client:
            answer = client.messages.with_raw_response.retrieve(handle)
        return as_callbacks(object_of(answer), line=line, human=human)

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
        given: dict[str, Any] = {"type": kind} if kind in SIX else {"type": "custom", "custom_emoji": emoji}
        with calling(account, deadline=account.deadlines.tapback) as client:
            client.messages.with_raw_response.add_reaction(
                handle, operation="remove" if remove else "add", part_index=part, **given
            )

    def typing(self, account: Account, *, line: str, human: str, on: bool, chat: str = "") -> None:
        chat = chat or found_chat(account, line, human)
        if not chat:
            return
        with calling(account, deadline=account.deadlines.typing) as client:
            typing = client.chats.typing.with_raw_response
            (typing.start if on else typing.stop)(chat)

    def mark_read(self, account: Account, *, line: str, human: str, chat: str = "") -> None:
        chat = chat or found_chat(account, line, human)
        if not chat:
            return
        with calling(account, deadline=account.deadlines.mark_read) as client:
            client.chats.with_raw_response.mark_as_read(chat)

    def rename_group(self, account: Account, *, line: str, chat: str, name: str) -> None:
        with calling(account, deadline=account.deadlines.edit) as client:
            client.chats.with_raw_response.update(chat, display_name=name)

    def edit(
        self, account: Account, *, line: str, human: str, handle: str, part: int, text: str, chat: str = ""
    ) -> None:
        with calling(account, deadline=account.deadlines.edit) as client:
            client.messages.with_raw_response.update(handle, text=text, part_index=part)

    def lookup_service(self, account: Account, *, line: str, address: str) -> ServiceAnswer:
        with calling(account, deadline=account.deadlines.lookup) as client:
            answer = client.capability.with_raw_response.check_i_message(address=address, from_=line)
        body = object_of(answer)
        service = "imessage" if body.get("available") else SERVICES.get(str(body.get("selected_service")), "unknown")
        return ServiceAnswer(service=service, at=datetime.now(UTC))

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        own = url.startswith(f"{account.base_url.rstrip('/')}/")
        return MediaRequest(url, {"Authorization": f"Bearer {account.token}"}) if own else None

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            numbers, clock_offset = _numbers(account, deadline=account.deadlines.probe)
        except ProviderCallFailed as failed:
            return _unread(failed.error)
        addresses = [str(number.get("phone_number")) for number in numbers]
        mine = next((number for number in numbers if number.get("phone_number") == line), None)
        if mine is None:
            return LineReading("down", ["line_not_in_account"], reachable=True, authenticated=True, addresses=addresses)
        reputation = str(mapping(mine.get("reputation")).get("status") or "")
        state = STATES.get(reputation, "unknown")
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
                state=str(mapping(number.get("reputation")).get("status") or ""),
                name=str(number.get("line_type") or ""),
            )
            for number in numbers
        ]

    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        """One subscription for all lines, with the callbacks' version pinned in its URL; its secret is shown once."""
        target = f"{url}?version={WEBHOOK_VERSION}"
        deadline = account.deadlines.install_callbacks
        with calling(account, deadline=deadline) as client:
            listed = object_of(client.webhook_subscriptions.with_raw_response.list())
        known = [one for one in mappings(listed.get("subscriptions")) if one.get("target_url") == target]
        if not known:
            with calling(account, deadline=deadline) as client:
                made = client.webhook_subscriptions.with_raw_response.create(
                    target_url=target, subscribed_events=EVENTS
                )
            return Installed([target], secret=str(object_of(made).get("signing_secret") or ""))
        if not known[0].get("is_active") or set(known[0].get("subscribed_events") or []) != set(EVENTS):
            with calling(account, deadline=deadline) as client:
                client.webhook_subscriptions.with_raw_response.update(
                    str(known[0].get("id")), is_active=True, subscribed_events=EVENTS
                )
        return Installed([target])

    def poll(self, account: Account, *, cursor: str, threads: Sequence[Thread] = ()) -> tuple[list[bytes], str]:
        """Messages of the chats that have changed, and who is in them; now and then of all that lately spoke.

        The cursor holds their newest time that was seen and our time of the last full round.
        """
        now, (seen, swept) = datetime.now(UTC), _looked(cursor)
        is_full = swept is None or now - swept > _FULL_ROUND
        since = min(seen or now, swept if is_full and swept else now) - _OVERLAP
        changed = changed_chats(account, seen - _LAG if seen and not is_full else since)
        asked = [thread for chat in changed if (thread := thread_of(chat))]
        if is_full:  # in case a chat did not say that it has changed
            known = {(thread.line, thread.human) for thread in asked}
            asked += [thread for thread in threads if (thread.line, thread.human) not in known]
            swept = now
        found: list[bytes] = []
        for thread in asked:
            chat = thread.chat or found_chat(account, thread.line, thread.human)
            news = list(messages_since(account, chat, since, deadline=account.deadlines.poll)) if chat else []
            for message in sorted(news, key=created):
                found += as_callbacks(message, line=thread.line, human=thread.human)
                seen = max(seen or newest(message), newest(message))
        # After the texts: the first of a group makes it known.
        found += [as_group_callback(chat) for chat in changed if chat.get("is_group")]
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
        return callbacks.identify(body)

    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        return callbacks.reports_of(body)


def _numbers(account: Account, *, deadline: float) -> tuple[list[dict[str, Any]], float | None]:
    """The account's numbers, and how far their clock is ahead of ours, in seconds."""
    with calling(account, deadline=deadline) as client:
        answer = client.phone_numbers.with_raw_response.list()
    return mappings(object_of(answer).get("phone_numbers")), _clock_offset(answer.headers.get("date"))


def _unread(error: ProviderError | None) -> LineReading:
    """A probe that told nothing of the line: a failing server is as good as none, refused credentials are certain."""
    if error and error.scope is Scope.ACCOUNT and error.code != "unreachable":
        return LineReading("down", ["unauthorized"], reachable=True, authenticated=False)
    is_certain = error is not None and error.error_class is ErrorClass.PERMANENT
    return LineReading("down", [error.code if error else "no_answer"], reachable=is_certain)


def _content(order: SendOrder, *, first: bool) -> tuple[MessageContentParam, list[str]]:
    """The message as Linq wants it, and what had to be left out of it: a first one has no effect and no reply."""
    message: dict[str, Any] = {"idempotency_key": order.key}
    notes = []
    text = [{"type": "text", "value": order.text}] if order.text else []
    message["parts"] = text + [{"type": "media", "url": url} for url in order.media]
    if order.service in PREFERRED:
        message["preferred_service"] = PREFERRED[order.service]
    if order.effect in SENT_EFFECTS and not first:
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
    message = mapping(sent)
    if not message.get("id"):
        return SendReceipt(Outcome.UNKNOWN)
    asked, used = message.get("preferred_service"), message.get("service")
    return SendReceipt(
        Outcome.ACCEPTED,
        handle=str(message["id"]),
        state=status_of(message),
        service=SERVICES.get(str(used), "imessage"),
        chat=chat,
        line=str(mapping(message.get("from_handle")).get("handle") or ""),
        downgraded=was_downgraded(asked, used),
        notes=notes,
    )


def _not_accepted(error: ProviderError | None) -> SendReceipt:
    if error is None or error.error_class is ErrorClass.UNKNOWN:
        return SendReceipt(Outcome.UNKNOWN, error=error)
    return SendReceipt(Outcome.REFUSED, error=error)


def _looked(cursor: str) -> tuple[datetime | None, datetime | None]:
    seen, _, swept = cursor.partition(" ")
    return time_of(seen), time_of(swept)


def _clock_offset(date: str | None) -> float | None:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds() if date else None
    except (TypeError, ValueError):
        return None


DRIVER = LinqDriver()
