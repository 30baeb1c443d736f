"""The deeds of groups: threads of several humans and one line, the same on every member's handset."""

from typing import Any

from simulator.clock import stamp
from simulator.faults import FLAGGED
from simulator.handsets import IMESSAGE, SMS, Group, Media, Text
from simulator.journal import Record
from simulator.ledger import EventBody, Ledger, needs_imessage, new_id
from simulator.memory import Line
from simulator.orders import LEAST_MEMBERS, MOST_MEMBERS, GroupOrder, Order, answer_of, first_record, status_event
from simulator.refusals import Refusal, invalid, unknown


class Groups:
    """All deeds in groups that differ from those of a thread of two."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._memory = ledger.memory

    # What the agent's side does.

    def send(self, order: Order, asked: GroupOrder, *, keyed: bool) -> Text:
        """Send a text into a group, making it if it is new. Raises `Refusal` (404, 409, 422)."""
        line = self._memory.line(order.line)
        group, made = self._asked_for(line, asked)
        self._ledger.check_reply(order.reply_to, line=line.number, far_end=group.key)
        record: Record = {"type": "group_text", **first_record(order, keyed=keyed), "group": group.key, **made}
        is_swallowed = line.state == FLAGGED
        reached = [] if is_swallowed else [human for human in group.members if self._is_reached(human)]
        record |= {"phones": reached, "is_swallowed": is_swallowed, "service": IMESSAGE, "downgraded": False}
        record |= {"error": None, "status": "delivered" if reached else "sent"}
        record["answer"] = {**answer_of(record), "group": group.as_json()}
        statuses = ["sent", "delivered"] if reached else ["sent"]
        self._ledger.commit(record, *[status_event(record, status, group=group.as_json()) for status in statuses])
        return self._memory.text(record["message_id"])

    def rename_from_line(self, number: str, key: str, *, name: str) -> Group:
        """The agent names the group anew; the same name again changes nothing."""
        self._ledger.helped_line(number)
        group = self.of_line(number, key)
        self._change(group, by=number, name=name)
        return group

    def of_line(self, number: str, key: str) -> Group:
        """A group that the line is in; raises `Refusal` (404)."""
        group = self._memory.group(key)
        if group.line != number:
            raise unknown("unknown_group", f"{number} is in no group with this key.")
        return group

    # What a member does.

    def open(self, human: str, *, line: str, members: list[str], name: str) -> Group:
        """A human makes a group with others and a line. The line hears of it with what is said or changed in it."""
        self._ledger.on_imessage(human)
        group = self._new(self._memory.line(line), [human, *members], name)
        record: Record = {"type": "group_opened", "line": line, "group": group.key, "by": human}
        others = [member for member in group.members if member != human]
        self._ledger.commit({**record, "members": group.members, "name": name, "phones": others})
        return self._memory.group(group.key)

    def of_member(self, human: str, key: str) -> Group:
        """A group that the human is in now; raises `Refusal`: 404 when it is not on the handset, 409 when they left."""
        group = self._memory.group(key)
        if key not in self._memory.handset(human).threads:
            raise unknown("unknown_group", f"The handset {human} has no group with this key.")
        if human not in group.members:
            raise Refusal(409, "not_in_group", f"{human} is no longer in the group.")
        return group

    def text(
        self,
        human: str,
        key: str,
        *,
        text: str,
        media: list[Media],
        reply_to: dict[str, Any] | None,
        effect: str | None,
    ) -> Text:
        """A member writes to all the others and the line."""
        self._ledger.on_imessage(human)
        group = self.of_member(human, key)
        self._ledger.check_reply(reply_to, line=group.line, far_end=key)
        at, text_id = stamp(), new_id("msg")
        shared: Record = {"line": group.line, "human": human, "message_id": text_id, "text": text, "media": media}
        shared |= {"service": IMESSAGE, "reply_to": reply_to, "effect": effect}
        reached = [member for member in group.members if member != human and self._is_reached(member)]
        told: EventBody = ("message.received", {**shared, "group": group.as_json(), "sent_at": at})
        record = {"type": "group_text", "at": at, **shared, "group": key, "phones": reached, "is_swallowed": False}
        self._ledger.commit(record, *self._heard(group, told))
        return self._memory.text(text_id)

    def type(self, human: str, key: str, *, on: bool) -> None:
        """A member starts or stops typing; every other member and the line see it."""
        self._ledger.on_imessage(human)
        group = self.of_member(human, key)
        told = {"line": group.line, "human": human, "on": on}
        record = {"type": "handset_typing", **told, "group": key, "phones": self.others(group, human)}
        self._ledger.commit(record, ("typing.changed", {**told, "group": group.as_json()}))

    def change(self, human: str, key: str, *, add: list[str], remove: list[str], name: str | None) -> Group:
        """A member adds and removes members (themselves: leaving) and names the group. What is so already is no change.

        Raises `Refusal`: 404, 409 for a handset without iMessage, 422 for too many members.
        """
        self._ledger.on_imessage(human)
        group = self.of_member(human, key)
        members = [member for member in group.members if member not in remove]
        members += [member for member in dict.fromkeys(add) if member not in members]
        for newcomer in members:
            if newcomer not in group.members:
                self._check_member(newcomer, group.line)
        if len(members) > MOST_MEMBERS:
            raise invalid(f"A group has at most {MOST_MEMBERS} members besides the line.")
        self._change(group, by=human, members=members, name=name)
        return group

    def catch_up(self, human: str) -> None:
        """What was said in groups while the handset could not be reached comes to it now."""
        missed = self._memory.missed.get(human)
        if not missed or not self._is_reached(human):
            return
        told = [self._reached_at_last(text) for text in missed if text.direction == "outbound" and text.at is None]
        ids = [text.id for text in missed]
        self._ledger.commit({"type": "group_caught_up", "human": human, "message_ids": ids}, *told)

    def others(self, group: Group, actor: str) -> list[str]:
        """The members whose handsets see at once what the actor does."""
        return [member for member in group.members if member != actor and self._is_reached(member)]

    def _change(self, group: Group, *, by: str, members: list[str] | None = None, name: str | None = None) -> None:
        before = list(group.members)
        members = before if members is None else members
        name = group.name if name is None else name
        if (members, name) == (before, group.name):
            return
        phones = [human for human in dict.fromkeys([*before, *members]) if human != by]
        record: Record = {"type": "group_changed", "at": stamp(), "line": group.line, "group": group.key, "by": by}
        record |= {"members": members, "name": name, "phones": phones}
        now = {**group.as_json(), "members": members, "name": name}
        who = "" if by == group.line else by
        told = {"line": group.line, "human": who, "group": now, "at": record["at"]}
        self._ledger.commit(record, *self._heard(group, ("group.changed", told)))

    def _asked_for(self, line: Line, asked: GroupOrder) -> tuple[Group, Record]:
        """The group, and what the journal is to say of one that is made with this text."""
        if asked.key is None:
            group = self._new(line, asked.members, asked.name)
            return group, {"by": line.number, "members": group.members, "name": group.name}
        group = self.of_line(line.number, asked.key)
        if not group.members:
            raise Refusal(409, "empty_group", "Everybody has left the group.")
        return group, {}

    def _new(self, line: Line, members: list[str], name: str) -> Group:
        members = list(dict.fromkeys(members))
        if not LEAST_MEMBERS <= len(members) <= MOST_MEMBERS:
            raise invalid(f"A group has {LEAST_MEMBERS} to {MOST_MEMBERS} members besides the line.")
        if line.service == SMS:
            raise needs_imessage(line.number)
        for member in members:
            self._check_member(member, line.number)
        return Group(new_id("grp"), line.number, members, name)

    def _check_member(self, human: str, line: str) -> None:
        if human == line or human in self._memory.lines:
            raise invalid(f"{human} is a line; a group has one line, and it is named as such.")
        if self._memory.handset(human).service == SMS:
            raise needs_imessage(human)

    def _is_reached(self, human: str) -> bool:
        return self._memory.handset(human).service == IMESSAGE

    def _heard(self, group: Group, event: EventBody) -> list[EventBody]:
        return [] if self._memory.line(group.line).faults.value("deaf") else [event]

    def _reached_at_last(self, text: Text) -> EventBody:
        record: Record = {
            "line": text.line,
            "human": "",
            "message_id": text.id,
            "reference": text.reference,
            "at": stamp(),
        }
        record |= {"service": text.service, "downgraded": False, "error": None}
        return status_event(record, "delivered", group=text.group.as_json() if text.group else None)
