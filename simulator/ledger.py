"""What every deed stands on: one journaled line applied at once, whoever waits for it woken, and who may act."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from simulator.clock import stamp
from simulator.faults import OFFLINE, SIGNED_OUT
from simulator.handsets import IMESSAGE, OFF, SMS, Handset, Text
from simulator.journal import Journal, Record
from simulator.memory import Event, Line, Memory, shown_on
from simulator.refusals import Refusal, invalid

EventBody = tuple[str, dict[str, Any]]


class Ledger:
    """The journal and the memory it makes. Callers `settle` the journal before they answer."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.memory = Memory()
        self.tell: Callable[[int, Event], None] = lambda cursor, event: None
        self.watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def commit(self, record: Record, *events: EventBody) -> None:
        """Append the line, with the callbacks it causes in it so that a crash cannot part them, and apply it."""
        record.setdefault("at", stamp())
        first = len(self.memory.events) + 1
        if events:
            record["events"] = [
                {"cursor": number, "id": new_id("evt"), "type": kind, "created_at": record["at"], "data": data}
                for number, (kind, data) in enumerate(events, first)
            ]
        cursor = self.journal.append(record)
        self.memory.apply(cursor, record)
        for event in record.get("events", ()):
            self.tell(cursor, event)
        for human in shown_on(record):
            for watcher in self.watchers.get(human, ()):
                watcher.set()

    def working_line(self, number: str) -> Line:
        """The line, able to send; raises `Refusal` (404, 409, 503)."""
        line = self.memory.line(number)
        if line.state == OFFLINE:
            raise Refusal(503, "line_offline", f"The device behind {number} is offline; nothing was sent.")
        if line.state == SIGNED_OUT:
            raise Refusal(409, "signed_out", f"{number} is signed out of its account; nothing was sent.")
        return line

    def helped_line(self, number: str) -> Line:
        """The line, able to do more than send texts; raises `Refusal`, also (409) for a number that has SMS alone."""
        line = self.working_line(number)
        if line.service == SMS:
            raise needs_imessage(number)
        if not line.faults.value("helper"):
            raise Refusal(409, "helper_lost", f"The helper of {number} is not connected; only texts can be sent.")
        return line

    def switched_on(self, human: str) -> Handset:
        """The handset, able to act; raises `Refusal` (409)."""
        handset = self.memory.handset(human)
        if handset.service == OFF:
            raise Refusal(409, "handset_off", f"The handset {human} is switched off.")
        return handset

    def on_imessage(self, human: str) -> Handset:
        """The handset, able to act on iMessage; raises `Refusal` (409)."""
        handset = self.switched_on(human)
        if handset.service != IMESSAGE:
            raise needs_imessage(human)
        return handset

    def check_reply(self, reply_to: dict[str, Any] | None, *, line: str, far_end: str) -> None:
        """Raise `Refusal` (422) unless it is a part of a text of the thread, or nothing."""
        if reply_to is None:
            return
        target = self.memory.texts.get(reply_to["id"])
        if target is None or (target.line, target.far_end) != (line, far_end):
            raise invalid("reply_to names no text of this thread.")
        check_part(target, reply_to["part"])


def new_id(prefix: str) -> str:
    """An id nobody had before."""
    return f"{prefix}_{uuid4().hex}"


def needs_imessage(number: str) -> Refusal:
    """The refusal of what SMS does not have: groups, tapbacks, typing, receipts, replies, effects, backgrounds."""
    return Refusal(409, "needs_imessage", f"{number} has SMS alone; this needs iMessage.")


def check_part(text: Text, part: int) -> None:
    """Raise `Refusal` (422) unless the text has this part."""
    if part >= text.parts:
        raise invalid(f"The text has {text.parts} part(s); part {part} is not there.")
