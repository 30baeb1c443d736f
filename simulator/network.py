"""The network's deeds: what lines and handsets do to each other, each one journaled before anyone hears of it."""

import asyncio
from dataclasses import replace
from typing import Any

from simulator.clock import stamp
from simulator.faults import FLAGGED
from simulator.groups import Groups
from simulator.handsets import IMESSAGE, OFF, SMS, Handset, Media, Text
from simulator.journal import Journal, JournalError, Record
from simulator.ledger import EventBody, Ledger, check_part, needs_imessage, new_id
from simulator.memory import Line
from simulator.orders import Order, Tapback, answer_of, first_record, later_record, status_event
from simulator.refusals import Refusal, invalid, unknown

NOT_ON_IMESSAGE = {"code": "not_on_imessage", "message": "The recipient has no iMessage; nothing was sent."}


class Network(Ledger):
    """All deeds. Each appends its journal line and applies it at once; callers `settle` the journal, then answer."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.groups = Groups(self)
        self._ending = False

    def restore(self) -> None:
        """Take in what earlier runs kept; raises `JournalError`. A hand-over cut off by a crash is finished."""
        for cursor, record in self.journal.replay():
            try:
                self.memory.apply(cursor, record)
            except KeyError as missing:
                raise JournalError(f"Line {cursor} of the journal is of another version: {missing}.") from missing
        for number in {*self.memory.waiting, *self.memory.missed}:
            self._hand_over(number)

    def set_line(self, number: str, *, kind: str, service: str) -> Line:
        """Create the line, or change its kind or the service it has."""
        line = self.memory.lines.get(number)
        if line is None or (line.kind, line.service) != (kind, service):
            self.commit({"type": "line", "line": number, "kind": kind, "service": service})
        return self.memory.line(number)

    def set_faults(self, number: str, patch: dict[str, Any]) -> Line:
        """Merge checked fault settings into a line's; raises `Refusal` (404)."""
        line = self.memory.line(number)
        if patch:
            self.commit({"type": "faults", "line": number, "faults": patch})
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
            self.commit({"type": "callback", "url": url, "secret": secret})

    def settle_callback(self, event_id: str, *, taken: bool, attempts: int) -> None:
        """An event needs no more posts: the receiver took it, or it was given up."""
        kind = "callback_taken" if taken else "callback_given_up"
        self.commit({"type": kind, "event": event_id, "attempts": attempts})

    def keep_file(self, file_id: str, *, content_type: str, size: int, sha256: str) -> dict[str, Any]:
        """A file is on the shelf: its facts."""
        self.commit({"type": "file", "file": file_id, "content_type": content_type, "size": size, "sha256": sha256})
        return self.memory.files[file_id]

    def note_fetched(self, text_id: str, index: int, facts: dict[str, Any] | None, *, problem: str = "") -> None:
        """What came of fetching a medium that an agent sent: its facts, or why there are none."""
        kind = "media_fetched" if facts else "media_missed"
        self.commit({"type": kind, "message_id": text_id, "index": index, "facts": facts, "problem": problem})

    # What the agent's side does.

    def send(self, order: Order) -> tuple[Text, bool]:
        """Send a text; the flag says whether it is new or the answer to a repeated send key.

        Raises `Refusal`: 404 for an unknown line, 503/409 for one that cannot send, 422 for a bad reply target.
        """
        line = self.working_line(order.line)
        keyed = line.faults.value("send_key")
        if keyed and order.key is not None:
            earlier = self.memory.text_with_key(order.line, order.key)
            if earlier is not None:
                return earlier, False
        if order.group is not None:
            return self.groups.send(order, order.group, keyed=keyed), True
        if line.service == SMS:
            left_out = tuple(name for name in ("effect", "reply_to") if getattr(order, name))
            order = replace(order, service=SMS, effect=None, reply_to=None, left_out=left_out)
        self.check_reply(order.reply_to, line=order.line, far_end=order.human)
        record = first_record(order, keyed=keyed)
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
        self.helped_line(text.line)
        if text.at is None:
            raise Refusal(409, "not_on_handset", "The text has not reached the handset.")
        check_part(text, tapback.part)
        if not (remove and not _is_live(text, text.line, tapback)):
            self.commit(self._tapback_record("line_tapback", text, text.line, tapback, remove=remove))
        return text

    def read_from_line(self, number: str, human: str, *, group: str | None = None) -> str | None:
        """The agent's read receipt for all that came in a thread; the newest text's id, None if nothing was unread."""
        self.helped_line(number)
        far_end, phones = self._thread_of_line(number, human, group)
        if group is None and number not in self.memory.handset(human).threads:
            raise unknown("unknown_thread", f"{human} and {number} have no thread.")
        newest = self.memory.newest_unread(number, far_end)
        if newest is None:
            return None
        self.commit({"type": "line_read", "line": number, "human": human, "up_to_message_id": newest.id, **phones})
        return newest.id

    def type_from_line(self, number: str, human: str, *, on: bool, group: str | None = None) -> None:
        """Show or hide the typing bubble on the handset, or on those of a group."""
        self.helped_line(number)
        _, phones = self._thread_of_line(number, human, group)
        self.commit({"type": "line_typing", "line": number, "human": human, "on": on, **phones})

    def set_background(self, number: str, human: str, *, file: str | None) -> dict[str, Any] | None:
        """Put a file of the network behind the thread on the handset, or take it away; the same again is no change.

        Raises `Refusal`: 404, 409 where there is no iMessage, 422 for a file that is no picture.
        """
        self.helped_line(number)
        if self.memory.handset(human).service == SMS:
            raise needs_imessage(human)
        facts = None if file is None else self.memory.file(file)
        if facts and not facts["content_type"].startswith("image/"):
            raise invalid("A background must be a picture.")
        shown = self.memory.handset(human).backgrounds.get(number)
        if (facts and facts["sha256"]) != (shown and shown["sha256"]):
            self.commit({"type": "line_background", "line": number, "human": human, "background": facts})
        return self.memory.handset(human).backgrounds.get(number)

    def _thread_of_line(self, number: str, human: str, group: str | None) -> tuple[str, Record]:
        """The far end of a line's thread, and what a record of a deed in a group says beyond one of two."""
        if group is None:
            return human, {}
        kept = self.groups.of_line(number, group)
        return group, {"group": group, "phones": self.groups.others(kept, number)}

    # What the human does.

    def text_a_line(
        self,
        human: str,
        number: str,
        *,
        text: str,
        media: list[Media],
        reply_to: dict[str, Any] | None,
        effect: str | None,
    ) -> Text:
        """The human writes to a line. Raises `Refusal`: 404 unknown line, 409 while the handset is off."""
        line, handset = self.memory.line(number), self.switched_on(human)
        service = SMS if line.service == SMS else handset.service
        if service == SMS and (reply_to or effect):
            raise needs_imessage(number if line.service == SMS else human)
        self.check_reply(reply_to, line=number, far_end=human)
        at, text_id = stamp(), new_id("msg")
        shared: Record = {"line": number, "human": human, "message_id": text_id, "text": text, "media": media}
        shared |= {"service": service, "reply_to": reply_to, "effect": effect}
        told: EventBody = ("message.received", {**shared, "group": None, "sent_at": at})
        self.commit({"type": "handset_text", "at": at, **shared}, *([] if line.faults.value("deaf") else [told]))
        return self.memory.text(text_id)

    def tap_from_handset(self, human: str, *, bubble: str, thread: str | None, tapback: Tapback, remove: bool) -> Text:
        """The human's tapback; `bubble` is an id or "last", the newest received. Raises `Refusal` (404, 409, 422)."""
        handset = self.switched_on(human)
        text = self.bubble(handset, bubble, thread=thread)
        if self.memory.line(text.line).service == SMS:
            raise needs_imessage(text.line)
        if text.group is not None:
            self.groups.of_member(human, text.group.key)
        check_part(text, tapback.part)
        if remove and not _is_live(text, human, tapback):
            raise unknown("no_tapback", "The handset has no such tapback on this part of the bubble.")
        record = self._tapback_record("handset_tapback", text, human, tapback, remove=remove)
        told = {name: record[name] for name in ("line", "message_id", "part", "kind", "emoji", "at")}
        told |= {"human": human, "group": text.group.as_json() if text.group else None}
        self.commit(record, ("tapback.removed" if remove else "tapback.added", told))
        return text

    def read_on_handset(self, human: str, *, thread: str | None) -> list[dict[str, Any]]:
        """The human opens one thread or all; what was read, per thread.

        SMS and groups have no receipts, so there none is told.
        """
        handset = self.switched_on(human)
        if thread is not None and thread not in self.memory.groups:
            self.memory.line(thread)
        read = []
        for opened in [thread] if thread else list(handset.threads):
            unread = handset.unread(opened)
            if unread:
                read.append(self._read_thread(human, unread))
        return read

    def type_on_handset(self, human: str, number: str, *, on: bool) -> None:
        """The human starts or stops typing to a line; told to the line on iMessage only."""
        line, handset = self.memory.line(number), self.switched_on(human)
        told = {"line": number, "human": human, "on": on}
        is_told = IMESSAGE == line.service == handset.service
        events: list[EventBody] = [("typing.changed", {**told, "group": None})] if is_told else []
        self.commit({"type": "handset_typing", **told}, *events)

    def set_service(self, human: str, service: str) -> Handset:
        """Change what the handset is on. Texts that waited for it to be switched on reach it now, in order."""
        if human not in self.memory.handsets or self.memory.handset(human).service != service:
            self.commit({"type": "service", "human": human, "service": service})
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
        for watchers in self.watchers.values():
            for watcher in watchers:
                watcher.set()

    async def _news(self, human: str, seconds: float) -> None:
        news = asyncio.Event()
        self.watchers[human].add(news)
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return
        finally:
            self.watchers[human].discard(news)

    def bubble(self, handset: Handset, text_id: str, *, thread: str | None = None) -> Text:
        """A bubble by its id, or "last": the newest received, of a thread if named. Raises `Refusal` (404)."""
        if text_id == "last":
            return handset.newest_received(thread=thread)
        text = self.memory.texts.get(text_id)
        if text is None or handset.number not in text.shown_on:
            raise unknown("no_bubble", f"The handset {handset.number} has no bubble with this id.")
        return text

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
        has_sms_alone = self.memory.line(record["line"]).service == SMS
        as_sms = record["asked_service"] == SMS or (outcome == "delivered_to_handset" and handset.service == SMS)
        arrived = outcome == "delivered_to_handset" and not as_sms
        failed = outcome == "text_failed"
        record["service"] = SMS if as_sms else IMESSAGE
        record["downgraded"] = as_sms and not has_sms_alone
        record["error"] = NOT_ON_IMESSAGE if failed else None
        record["status"] = "failed" if failed else "delivered" if arrived else "sent"
        record.setdefault("answer", answer_of(record))
        reported = ["failed"] if failed else ["delivered"] if arrived and told else ["sent"]
        if arrived and not told:
            reported.append("delivered")
        self.commit({"type": outcome, **record}, *[status_event(record, status) for status in reported])

    def _hand_over(self, human: str) -> None:
        if self.memory.handset(human).service == OFF:
            return
        for text in list(self.memory.waiting.get(human, ())):
            outcome = self._outcome(human, text.asked_service)
            self._commit_outbound(outcome, later_record(text), told=True)
        self.groups.catch_up(human)

    def _read_thread(self, human: str, unread: list[Text]) -> dict[str, Any]:
        newest = unread[-1]
        told = {"line": newest.line, "human": human, "up_to_message_id": newest.id, "at": stamp()}
        has_receipts = newest.group is None and newest.service == IMESSAGE
        events: list[EventBody] = [("message.read", told)] if has_receipts else []
        group = {"group": newest.group.key} if newest.group else {}
        self.commit({"type": "handset_read", **told, **group}, *events)
        return {**told, "with": newest.thread}

    def _tapback_record(self, kind: str, text: Text, sender: str, tapback: Tapback, *, remove: bool) -> Record:
        record: Record = {
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
        if text.group is not None:
            record |= {"group": text.group.key, "phones": self.groups.others(text.group, sender)}
        return record


def _is_live(text: Text, sender: str, tapback: Tapback) -> bool:
    live = text.tapbacks.get((sender, tapback.part))
    return live is not None and (live["kind"], live["emoji"]) == (tapback.kind, tapback.emoji)
