"""What the network knows, rebuilt from nothing but its journal: each type of line has one way of being applied."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from simulator.clock import moment
from simulator.faults import LineFaults
from simulator.handsets import IMESSAGE, Group, Handset, Text
from simulator.journal import Record
from simulator.refusals import unknown

Event = dict[str, Any]


@dataclass
class Line:
    """A number the provider owns, with what is wrong with it."""

    number: str
    kind: str
    service: str = IMESSAGE
    faults: LineFaults = field(default_factory=LineFaults)

    @property
    def state(self) -> str:
        return str(self.faults.value("state"))

    def as_json(self) -> dict[str, Any]:
        """The line as the provider's API shows it."""
        return {
            "number": self.number,
            "kind": self.kind,
            "service": self.service,
            "state": self.state,
            "send_key": self.faults.value("send_key"),
            "helper": self.faults.value("helper"),
            "sends_from": self.faults.value("sends_from") or self.number,
            "allowance": self.faults.value("allowance"),
        }


class Memory:
    """Lines, handsets, groups, texts and callbacks. Only `apply` changes them, so a replay ends in the same state."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.handsets: dict[str, Handset] = {}
        self.groups: dict[str, Group] = {}
        self.texts: dict[str, Text] = {}
        self.events: list[Event] = []
        # Callbacks not yet taken by the receiver: event id -> (journal cursor, event), oldest first.
        self.pending: dict[str, tuple[int, Event]] = {}
        self.callback: dict[str, str] | None = None
        self.files: dict[str, dict[str, Any]] = {}
        self.waiting: defaultdict[str, list[Text]] = defaultdict(list)
        # What was said in groups while a member's handset could not be reached.
        self.missed: defaultdict[str, list[Text]] = defaultdict(list)
        self._keys: dict[tuple[str, str], Text] = {}
        self._by_line: defaultdict[str, list[Text]] = defaultdict(list)
        self._by_thread: defaultdict[tuple[str, str], list[Text]] = defaultdict(list)

    def apply(self, cursor: int, record: Record) -> None:
        """Take one journal line in; raises KeyError for a type this version does not know."""
        _APPLY[record["type"]](self, cursor, record)
        for event in record.get("events", ()):
            self.events.append(event)
            self.pending[event["id"]] = (cursor, event)

    def line(self, number: str) -> Line:
        """The line with this number; raises `Refusal` (404)."""
        if number not in self.lines:
            raise unknown("unknown_line", f"The provider has no line {number}.")
        return self.lines[number]

    def group(self, key: str) -> Group:
        """The group with this key; raises `Refusal` (404)."""
        if key not in self.groups:
            raise unknown("unknown_group", "There is no group with this key.")
        return self.groups[key]

    def groups_of(self, human: str) -> list[Group]:
        """The groups that a human is in, the oldest first."""
        return [group for group in self.groups.values() if human in group.members]

    def text(self, text_id: str) -> Text:
        """The text with this id; raises `Refusal` (404)."""
        if text_id not in self.texts:
            raise unknown("unknown_message", "There is no message with this id.")
        return self.texts[text_id]

    def handset(self, number: str) -> Handset:
        """The handset with this number; a number nobody used yet is a new phone on iMessage."""
        return self.handsets.get(number) or Handset(number)

    def text_with_key(self, line: str, key: str) -> Text | None:
        """The text an earlier send with the same key made on this line."""
        return self._keys.get((line, key))

    def newest(
        self, *, line: str | None, far_end: str | None, since: datetime | None, direction: str | None, limit: int
    ) -> list[Text]:
        """Texts of a thread (with a human or a group at the far end), a line or all, newest first, none older than
        `since`."""
        kept = self._kept(line, far_end)
        return list(islice(_matching(kept, since=since, direction=direction, far_end=far_end), limit))

    def newest_unread(self, line: str, far_end: str) -> Text | None:
        """The newest text that came in a line's thread and that the line has not read."""
        for text in reversed(self._by_thread.get((line, far_end), [])):
            if text.direction == "inbound":
                return None if line in text.read_by else text
        return None

    def file(self, file_id: str) -> dict[str, Any]:
        """The facts of a file on the network's shelf; raises `Refusal` (404)."""
        if file_id not in self.files:
            raise unknown("unknown_media", "There is no file with this id.")
        return self.files[file_id]

    def happenings(self, number: str, *, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
        """What the network's other side did to a handset after a journal cursor, oldest first."""
        happenings = self.handset(number).happenings
        first = bisect_right(happenings, after, key=lambda happening: happening[0])
        return happenings[first : first + limit]

    def _kept(self, line: str | None, far_end: str | None) -> Iterable[Text]:
        if line and far_end:
            return reversed(self._by_thread.get((line, far_end), []))
        if line:
            return reversed(self._by_line.get(line, []))
        return reversed(self.texts.values())

    def _handset(self, number: str) -> Handset:
        return self.handsets.setdefault(number, Handset(number))

    def _keep(self, text: Text) -> None:
        self.texts[text.id] = text
        self._by_line[text.line].append(text)
        self._by_thread[text.line, text.far_end].append(text)

    def _set_line(self, cursor: int, record: Record) -> None:
        line = self.lines.setdefault(record["line"], Line(record["line"], record["kind"]))
        line.kind, line.service = record["kind"], record.get("service", IMESSAGE)

    def _set_faults(self, cursor: int, record: Record) -> None:
        self.lines[record["line"]].faults.merge(record["faults"])

    def _draw_fault(self, cursor: int, record: Record) -> None:
        self.lines[record["line"]].faults.occurrences[record["fault"]].draw()

    def _set_service(self, cursor: int, record: Record) -> None:
        self._handset(record["human"]).service = record["service"]

    def _keep_file(self, cursor: int, record: Record) -> None:
        facts = {name: record[name] for name in ("content_type", "size", "sha256")}
        self.files[record["file"]] = {"id": record["file"], **facts}

    def _media_fetched(self, cursor: int, record: Record) -> None:
        text = self.texts[record["message_id"]]
        # A new list: the old one is part of a journaled record.
        text.media = [
            {**medium, **record["facts"]} if index == record["index"] else medium
            for index, medium in enumerate(text.media)
        ]

    def _nothing(self, cursor: int, record: Record) -> None:
        """A line that is only read by people."""

    def _register_callback(self, cursor: int, record: Record) -> None:
        self.callback = {"url": record["url"], "secret": record["secret"], "registered_at": record["at"]}

    def _settle_callback(self, cursor: int, record: Record) -> None:
        self.pending.pop(record["event"], None)

    def _outbound(self, record: Record) -> Text:
        """The text a line of the agent's side speaks of, made or brought up to date."""
        text = self.texts.get(record["message_id"]) or self._first_seen(record)
        text.service, text.downgraded = record["service"], record["downgraded"]
        text.status, text.error = record["status"], record["error"]
        if text.status != "failed":
            text.sent_at = text.sent_at or record["at"]
        return text

    def _first_seen(self, record: Record) -> Text:
        text = Text(
            id=record["message_id"],
            line=record["line"],
            human=record["human"],
            direction="outbound",
            text=record["text"],
            media=record["media"],
            service=record["service"],
            created_at=record["created_at"],
            effect=record["effect"],
            reply_to=record["reply_to"],
            parent=self._parent(record),
            group=self._group_of(record),
            asked_service=record["asked_service"],
            reference=record["reference"],
            answer=record["answer"],
        )
        self._keep(text)
        if record["idempotency_key"] is not None:
            self._keys[text.line, record["idempotency_key"]] = text
        return text

    def _text_held(self, cursor: int, record: Record) -> None:
        text = self._outbound(record)
        self._handset(text.human)
        self.waiting[text.human].append(text)

    def _text_ended(self, cursor: int, record: Record) -> None:
        text = self._outbound(record)
        self._handset(text.human)
        self._no_longer_waiting(text)

    def _delivered_to_handset(self, cursor: int, record: Record) -> None:
        text = self._outbound(record)
        self._no_longer_waiting(text)
        text.at = record["at"]
        text.delivered_at = record["at"] if text.status == "delivered" else None
        handset = self._handset(text.human)
        handset.show(text)
        handset.happenings.append((cursor, {"type": "bubble", "with": text.line, "message_id": text.id}))

    def _no_longer_waiting(self, text: Text) -> None:
        if text in self.waiting.get(text.human, ()):
            self.waiting[text.human].remove(text)

    def _handset_text(self, cursor: int, record: Record) -> None:
        self._handset(record["human"]).show(self._inbound(record))

    def _inbound(self, record: Record) -> Text:
        text = Text(
            id=record["message_id"],
            line=record["line"],
            human=record["human"],
            direction="inbound",
            text=record["text"],
            media=record["media"],
            service=record["service"],
            created_at=record["at"],
            effect=record.get("effect"),
            reply_to=record["reply_to"],
            parent=self._parent(record),
            group=self._group_of(record),
            at=record["at"],
            sent_at=record["at"],
        )
        self._keep(text)
        return text

    def _parent(self, record: Record) -> Text | None:
        return self.texts.get(record["reply_to"]["id"]) if record["reply_to"] else None

    def _group_of(self, record: Record) -> Group | None:
        return self.groups[record["group"]] if record.get("group") else None

    def _group_changed(self, cursor: int, record: Record) -> None:
        group = self.groups.setdefault(record["group"], Group(record["group"], record["line"], []))
        group.members, group.name = list(record["members"]), record["name"]
        for human in group.members:
            self._handset(human).threads.setdefault(group.key, [])
        shown = {"from": record["by"], "members": record["members"], "name": record["name"]}
        self._happened(cursor, record, {"type": "group", **shown})

    def _group_text(self, cursor: int, record: Record) -> None:
        """What a member or the line wrote, on the handsets that it reached; the others get it when they can."""
        if "members" in record:
            self._group_changed(cursor, record)
        group = self.groups[record["group"]]
        text = self._inbound(record) if record["human"] else self._outbound(record)
        if record["human"]:
            self._handset(record["human"]).show(text)
        for human in record["phones"]:
            self._show_in_group(cursor, human, text, at=record["at"])
        if not record["is_swallowed"]:
            for human in group.members:
                if human not in text.shown_on:
                    self.missed[human].append(text)

    def _caught_up(self, cursor: int, record: Record) -> None:
        for text in self.missed.pop(record["human"], []):
            self._show_in_group(cursor, record["human"], text, at=record["at"])

    def _show_in_group(self, cursor: int, human: str, text: Text, *, at: str) -> None:
        handset = self._handset(human)
        handset.show(text)
        text.at = text.at or at
        if text.direction == "outbound":
            text.status, text.delivered_at = "delivered", text.delivered_at or at
        handset.happenings.append((cursor, {"type": "bubble", "with": text.thread, "message_id": text.id}))

    def _tapback(self, cursor: int, record: Record) -> None:
        key = (record["from"], record["part"])
        live = self.texts[record["message_id"]].tapbacks
        if record["action"] == "remove":
            live.pop(key, None)
        else:
            live[key] = {name: record[name] for name in ("from", "kind", "emoji", "part", "at")}

    def _handset_tapback(self, cursor: int, record: Record) -> None:
        if record.get("group"):
            self._line_tapback(cursor, record)
        else:
            self._tapback(cursor, record)

    def _line_tapback(self, cursor: int, record: Record) -> None:
        self._tapback(cursor, record)
        shown = {name: record[name] for name in ("message_id", "action", "from", "kind", "emoji", "part")}
        self._happened(cursor, record, {"type": "tapback", **shown})

    def _handset_read(self, cursor: int, record: Record) -> None:
        self._read(record, reader=record["human"])

    def _line_read(self, cursor: int, record: Record) -> None:
        self._read(record, reader=record["line"])
        self._happened(cursor, record, {"type": "read", "up_to_message_id": record["up_to_message_id"]})

    def _read(self, record: Record, *, reader: str) -> None:
        for text in reversed(self._by_thread[record["line"], record.get("group") or record["human"]]):
            if text.sender != reader and (reader == text.line or reader in text.shown_on):
                if reader in text.read_by:
                    break
                text.read_by[reader] = record["at"]

    def _line_typing(self, cursor: int, record: Record) -> None:
        self._happened(cursor, record, {"type": "typing", "from": record["line"], "on": record["on"]})

    def _handset_typing(self, cursor: int, record: Record) -> None:
        self._handset(record["human"])
        if record.get("group"):
            self._happened(cursor, record, {"type": "typing", "from": record["human"], "on": record["on"]})

    def _line_background(self, cursor: int, record: Record) -> None:
        backgrounds = self._handset(record["human"]).backgrounds
        if record["background"]:
            backgrounds[record["line"]] = record["background"]
        else:
            backgrounds.pop(record["line"], None)
        self._happened(cursor, record, {"type": "background", "background": record["background"]})

    def _happened(self, cursor: int, record: Record, happening: dict[str, Any]) -> None:
        thread = record.get("group") or record["line"]
        shown = {"type": happening.pop("type"), "with": thread, **happening, "at": record["at"]}
        for human in shown_on(record):
            self._handset(human).happenings.append((cursor, shown))


def shown_on(record: Record) -> list[str]:
    """The handsets that a line of the journal tells something new: in a group all it names, else the human's."""
    humans: list[str] = record["phones"] if "phones" in record else [record["human"]] if record.get("human") else []
    return humans


def _matching(
    texts: Iterable[Text], *, since: datetime | None, direction: str | None, far_end: str | None
) -> Iterable[Text]:
    for text in texts:
        # They lie in the order they were made, so the first one too old ends the search.
        if since is not None and moment(text.created_at) < since:
            return
        if direction in (None, text.direction) and far_end in (None, text.far_end):
            yield text


_APPLY = {
    "line": Memory._set_line,
    "faults": Memory._set_faults,
    "fault_drawn": Memory._draw_fault,
    "service": Memory._set_service,
    "file": Memory._keep_file,
    "media_fetched": Memory._media_fetched,
    "media_missed": Memory._nothing,
    "callback": Memory._register_callback,
    "callback_taken": Memory._settle_callback,
    "callback_given_up": Memory._settle_callback,
    "delivered_to_handset": Memory._delivered_to_handset,
    "text_held": Memory._text_held,
    "text_failed": Memory._text_ended,
    "text_swallowed": Memory._text_ended,
    "handset_text": Memory._handset_text,
    "handset_tapback": Memory._handset_tapback,
    "handset_read": Memory._handset_read,
    "handset_typing": Memory._handset_typing,
    "line_tapback": Memory._line_tapback,
    "line_read": Memory._line_read,
    "line_typing": Memory._line_typing,
    "line_background": Memory._line_background,
    "group_opened": Memory._group_changed,
    "group_changed": Memory._group_changed,
    "group_text": Memory._group_text,
    "group_caught_up": Memory._caught_up,
}
