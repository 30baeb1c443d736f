"""The network's deeds: what lines and handsets do to each other, each one journaled before anyone hears of it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from simulator.clock import stamp
from simulator.faults import FLAGGED, OFFLINE, SIGNED_OUT
from simulator.handsets import IMESSAGE, OFF, SMS, Handset, Media, Text
from simulator.journal import Journal, JournalError, Record
from simulator.memory import Event, Line, Memory
from simulator.refusals import Refusal, invalid, unknown

EventBody = tuple[str, dict[str, Any]]

NOT_ON_IMESSAGE = {"code": "not_on_imessage", "message": "The recipient has no iMessage; nothing was sent."}


@dataclass(frozen=True)
class Order:
    """What an agent's side asks a line to send; `service` is imessage, auto or sms."""

    line: str
    human: str
    text: str
    media: list[Media]
    service: str = IMESSAGE
    effect: str | None = None
    reply_to: dict[str, Any] | None = None
    key: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Tapback:
    """A reaction to one part of a text; `emoji` is set exactly when `kind` is "emoji"."""

    kind: str
    emoji: str | None
    part: int


class Network:
    """All deeds. Each appends its journal line and applies it at once; callers `settle` the journal, then answer."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.memory = Memory()
        self.tell: Callable[[int, Event], None] = lambda cursor, event: None
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._ending = False

    def restore(self) -> None:
        """Take in what earlier runs kept; raises `JournalError`. A hand-over cut off by a crash is finished."""
        for cursor, record in self.journal.replay():
            try:
                self.memory.apply(cursor, record)
            except KeyError as missing:
                raise JournalError(f"Line {cursor} of the journal is of another version: {missing}.") from missing
        for number in list(self.memory.waiting):
            self._hand_over(number)

    def set_line(self, number: str, *, kind: str) -> Line:
        """Create the line, or change its kind."""
        line = self.memory.lines.get(number)
        if line is None or line.kind != kind:
            self._commit({"type": "line", "line": number, "kind": kind})
        return self.memory.line(number)

    def set_faults(self, number: str, patch: dict[str, Any]) -> Line:
        """Merge checked fault settings into a line's; raises `Refusal` (404)."""
        line = self.memory.line(number)
        if patch:
            self._commit({"type": "faults", "line": number, "faults": patch})
        return line

    def strikes(self, number: str, fault: str) -> bool:
        """Whether a fault strikes the call at hand; each question is one draw and is kept."""
        faults = self.memory.line(number).faults
        if not faults.may_strike(fault):
            return False
        self.journal.append({"type": "fault_drawn", "at": stamp(), "line": number, "fault": fault})
        return faults.occurrences[fault].draw()

    def register_callback(self, *, url: str, secret: str) -> None:
        """Make this the one place callbacks go to; the same again changes nothing."""
        target = self.memory.callback
        if target is None or (target["url"], target["secret"]) != (url, secret):
            self._commit({"type": "callback", "url": url, "secret": secret})

    def settle_callback(self, event_id: str, *, taken: bool, attempts: int) -> None:
        """An event needs no more posts: the receiver took it, or it was given up."""
        kind = "callback_taken" if taken else "callback_given_up"
        self._commit({"type": kind, "event": event_id, "attempts": attempts})

    def keep_file(self, file_id: str, *, content_type: str, size: int, sha256: str) -> dict[str, Any]:
        """A file is on the shelf: its facts."""
        self._commit({"type": "file", "file": file_id, "content_type": content_type, "size": size, "sha256": sha256})
        return self.memory.files[file_id]

    def note_fetched(self, text_id: str, index: int, facts: dict[str, Any] | None, *, problem: str = "") -> None:
        """What came of fetching a medium that an agent sent: its facts, or why there are none."""
        kind = "media_fetched" if facts else "media_missed"
        self._commit({"type": kind, "message_id": text_id, "index": index, "facts": facts, "problem": problem})

    # What the agent's side does.

    def send(self, order: Order) -> tuple[Text, bool]:
        """Send a text; the flag says whether it is new or the answer to a repeated send key.

        Raises `Refusal`: 404 for an unknown line, 503/409 for one that cannot send, 422 for a bad reply target.
        """
        line = self._working_line(order.line)
        keyed = line.faults.value("send_key")
        if keyed and order.key is not None:
            earlier = self.memory.text_with_key(order.line, order.key)
            if earlier is not None:
                return earlier, False
        self._check_reply(order.reply_to, line=order.line, human=order.human)
        record = _first_record(order, keyed=keyed)
        outcome = "text_swallowed" if line.state == FLAGGED else self._outcome(order.human, order.service)
        self._commit_outbound(outcome, record, told=False)
        return self.memory.text(record["message_id"]), True

    def has_key(self, order: Order) -> bool:
        """Whether this order would only repeat one that was taken."""
        keyed = self.memory.line(order.line).faults.value("send_key") and order.key is not None
        return bool(keyed and self.memory.text_with_key(order.line, order.key or ""))

    def answer(self, text: Text) -> dict[str, Any]:
        """What the send call answers; a line may have sent from an address that is not its own."""
        return {**text.answer, "from": self.memory.line(text.line).faults.value("sends_from") or text.line}

    def tap_from_line(self, text_id: str, tapback: Tapback, *, remove: bool) -> Text:
        """The agent's tapback on a text that is on the handset; removing what is not there changes nothing."""
        text = self.memory.text(text_id)
        self._helped_line(text.line)
        if text.at is None:
            raise Refusal(409, "not_on_handset", "The text has not reached the handset.")
        _check_part(text, tapback.part)
        if not (remove and not _is_live(text, text.line, tapback)):
            self._commit(_tapback_record("line_tapback", text, text.line, tapback, remove=remove))
        return text

    def read_from_line(self, number: str, human: str) -> str | None:
        """The agent's read receipt for all the human wrote; the newest text's id, or None if nothing was unread."""
        self._helped_line(number)
        thread = self.memory.handset(human).threads.get(number)
        if thread is None:
            raise unknown("unknown_thread", f"{human} and {number} have no thread.")
        unread = [text for text in thread if text.direction == "inbound" and text.read_at is None]
        if not unread:
            return None
        self._commit({"type": "line_read", "line": number, "human": human, "up_to_message_id": unread[-1].id})
        return unread[-1].id

    def type_from_line(self, number: str, human: str, *, on: bool) -> None:
        """Show or hide the typing bubble on the handset."""
        self._helped_line(number)
        self._commit({"type": "line_typing", "line": number, "human": human, "on": on})

    # What the human does.

    def text_a_line(
        self, human: str, number: str, *, text: str, media: list[Media], reply_to: dict[str, Any] | None
    ) -> Text:
        """The human writes to a line. Raises `Refusal`: 404 unknown line, 409 while the handset is off."""
        self.memory.line(number)
        handset = self._switched_on(human)
        self._check_reply(reply_to, line=number, human=human)
        at, text_id = stamp(), _new_id("msg")
        shared: Record = {"line": number, "human": human, "message_id": text_id, "text": text, "media": media}
        shared |= {"service": handset.service, "reply_to": reply_to}
        deaf = self.memory.line(number).faults.value("deaf")
        events = [] if deaf else [("message.received", {**shared, "sent_at": at})]
        self._commit({"type": "handset_text", "at": at, **shared}, *events)
        return self.memory.text(text_id)

    def tap_from_handset(self, human: str, *, bubble: str, line: str | None, tapback: Tapback, remove: bool) -> Text:
        """The human's tapback; `bubble` is an id or "last", the newest received. Raises `Refusal` (404, 409, 422)."""
        handset = self._switched_on(human)
        text = handset.newest_received(line=line) if bubble == "last" else self._bubble(handset, bubble)
        _check_part(text, tapback.part)
        if remove and not _is_live(text, human, tapback):
            raise unknown("no_tapback", "The handset has no such tapback on this part of the bubble.")
        record = _tapback_record("handset_tapback", text, human, tapback, remove=remove)
        told = {name: record[name] for name in ("line", "human", "message_id", "part", "kind", "emoji", "at")}
        self._commit(record, ("tapback.removed" if remove else "tapback.added", told))
        return text

    def read_on_handset(self, human: str, *, line: str | None) -> list[dict[str, Any]]:
        """The human opens one thread or all; what was read, per thread. SMS has no receipts, so none is told."""
        handset = self._switched_on(human)
        if line is not None:
            self.memory.line(line)
        read = []
        for number in [line] if line else list(handset.threads):
            unread = handset.unread(number)
            if unread:
                read.append(self._read_thread(human, number, unread))
        return read

    def type_on_handset(self, human: str, number: str, *, on: bool) -> None:
        """The human starts or stops typing to a line; told to the line on iMessage only."""
        self.memory.line(number)
        handset = self._switched_on(human)
        told = {"line": number, "human": human, "on": on}
        events = [("typing.changed", told)] if handset.service == IMESSAGE else []
        self._commit({"type": "handset_typing", **told}, *events)

    def set_service(self, human: str, service: str) -> Handset:
        """Change what the handset is on. Texts that waited for it to be switched on reach it now, in order."""
        if human not in self.memory.handsets or self.memory.handset(human).service != service:
            self._commit({"type": "service", "human": human, "service": service})
        self._hand_over(human)
        return self.memory.handset(human)

    async def wait_for_happenings(
        self, human: str, *, after: int, seconds: float, limit: int
    ) -> list[tuple[int, dict[str, Any]]]:
        """What reached the handset after the cursor, as soon as there is something or when the time is over."""
        happened = self.memory.happenings(human, after=after, limit=limit)
        if happened or not seconds or self._ending:
            return happened
        await self._news(human, seconds)
        return self.memory.happenings(human, after=after, limit=limit)

    def end_waits(self) -> None:
        """Answer everyone who waits, now and from now on: the process is about to end."""
        self._ending = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.set()

    async def _news(self, human: str, seconds: float) -> None:
        news = asyncio.Event()
        self._watchers[human].add(news)
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return
        finally:
            self._watchers[human].discard(news)

    def _working_line(self, number: str) -> Line:
        line = self.memory.line(number)
        if line.state == OFFLINE:
            raise Refusal(503, "line_offline", f"The device behind {number} is offline; nothing was sent.")
        if line.state == SIGNED_OUT:
            raise Refusal(409, "signed_out", f"{number} is signed out of its account; nothing was sent.")
        return line

    def _helped_line(self, number: str) -> Line:
        """The line, able to do more than send texts."""
        line = self._working_line(number)
        if not line.faults.value("helper"):
            raise Refusal(409, "helper_lost", f"The helper of {number} is not connected; only texts can be sent.")
        return line

    def _switched_on(self, human: str) -> Handset:
        handset = self.memory.handset(human)
        if handset.service == OFF:
            raise Refusal(409, "handset_off", f"The handset {human} is switched off.")
        return handset

    def _bubble(self, handset: Handset, text_id: str) -> Text:
        text = self.memory.texts.get(text_id)
        if text is None or text.human != handset.number or text.at is None:
            raise unknown("no_bubble", f"The handset {handset.number} has no bubble with this id.")
        return text

    def _check_reply(self, reply_to: dict[str, Any] | None, *, line: str, human: str) -> None:
        if reply_to is None:
            return
        target = self.memory.texts.get(reply_to["id"])
        if target is None or (target.line, target.human) != (line, human):
            raise invalid("reply_to names no text of this thread.")
        _check_part(target, reply_to["part"])

    def _outcome(self, human: str, asked: str) -> str:
        service = self.memory.handset(human).service
        if service == OFF:
            return "text_held"
        if service == SMS and asked == IMESSAGE:
            return "text_failed"
        return "delivered_to_handset"

    def _commit_outbound(self, outcome: str, record: Record, *, told: bool) -> None:
        """Journal what became of a text. `told`: its `sent` was reported before, while the handset was off."""
        handset = self.memory.handset(record["human"])
        as_sms = record["asked_service"] == SMS or (outcome == "delivered_to_handset" and handset.service == SMS)
        arrived = outcome == "delivered_to_handset" and not as_sms
        failed = outcome == "text_failed"
        record["service"] = SMS if as_sms else IMESSAGE
        record["downgraded"] = as_sms
        record["error"] = NOT_ON_IMESSAGE if failed else None
        record["status"] = "failed" if failed else "delivered" if arrived else "sent"
        record.setdefault("answer", _answer(record))
        reported = ["failed"] if failed else ["delivered"] if arrived and told else ["sent"]
        if arrived and not told:
            reported.append("delivered")
        self._commit({"type": outcome, **record}, *[_status_event(record, status) for status in reported])

    def _hand_over(self, human: str) -> None:
        if self.memory.handset(human).service == OFF:
            return
        for text in list(self.memory.waiting.get(human, ())):
            outcome = self._outcome(human, text.asked_service)
            self._commit_outbound(outcome, _later_record(text), told=True)

    def _read_thread(self, human: str, number: str, unread: list[Text]) -> dict[str, Any]:
        told = {"line": number, "human": human, "up_to_message_id": unread[-1].id, "at": stamp()}
        events = [("message.read", told)] if unread[-1].service == IMESSAGE else []
        self._commit({"type": "handset_read", **told}, *events)
        return told

    def _commit(self, record: Record, *events: EventBody) -> None:
        """Append the line, with the callbacks it causes in it so that a crash cannot part them, and apply it."""
        record.setdefault("at", stamp())
        first = len(self.memory.events) + 1
        if events:
            record["events"] = [
                {"cursor": number, "id": _new_id("evt"), "type": kind, "created_at": record["at"], "data": data}
                for number, (kind, data) in enumerate(events, first)
            ]
        cursor = self.journal.append(record)
        self.memory.apply(cursor, record)
        for event in record.get("events", ()):
            self.tell(cursor, event)
        for watcher in self._watchers.get(record.get("human", ""), ()):
            watcher.set()


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex}"


def _first_record(order: Order, *, keyed: bool) -> Record:
    at = stamp()
    return {
        "at": at,
        "line": order.line,
        "human": order.human,
        "message_id": _new_id("msg"),
        "text": order.text,
        "media": order.media,
        "effect": order.effect,
        "reply_to": order.reply_to,
        "asked_service": order.service,
        # A line without a send key knows neither key nor reference, like a provider that never offered them.
        "idempotency_key": order.key if keyed else None,
        "reference": order.reference if keyed else None,
        "created_at": at,
    }


def _later_record(text: Text) -> Record:
    return {
        "at": stamp(),
        "line": text.line,
        "human": text.human,
        "message_id": text.id,
        "text": text.text,
        "media": text.media,
        "effect": text.effect,
        "reply_to": text.reply_to,
        "asked_service": text.asked_service,
        "idempotency_key": None,
        "reference": text.reference,
        "created_at": text.created_at,
        "answer": text.answer,
    }


def _answer(record: Record) -> dict[str, Any]:
    """What the send call answers, and answers again for the same key: the failure of a text comes by callback."""
    return {
        "id": record["message_id"],
        "from": record["line"],
        "to": record["human"],
        "status": "queued" if record["status"] == "failed" else "sent",
        "service": record["service"],
        "created_at": record["created_at"],
    }


def _status_event(record: Record, status: str) -> EventBody:
    named = ("line", "human", "message_id", "reference", "service", "downgraded", "error", "at")
    return "message.status", {**{name: record[name] for name in named}, "status": status}


def _tapback_record(kind: str, text: Text, sender: str, tapback: Tapback, *, remove: bool) -> Record:
    return {
        "type": kind,
        "at": stamp(),
        "line": text.line,
        "human": text.human,
        "message_id": text.id,
        "from": sender,
        "action": "remove" if remove else "add",
        "part": tapback.part,
        "kind": tapback.kind,
        "emoji": tapback.emoji,
    }


def _is_live(text: Text, sender: str, tapback: Tapback) -> bool:
    live = text.tapbacks.get((sender, tapback.part))
    return live is not None and (live["kind"], live["emoji"]) == (tapback.kind, tapback.emoji)


def _check_part(text: Text, part: int) -> None:
    if part >= text.parts:
        raise invalid(f"The text has {text.parts} part(s); part {part} is not there.")
