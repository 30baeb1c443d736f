"""An identity's reach as a plain value: both filter modes and the whole set of rules; and a draft that changes it.

A draft is applied to the value exactly as it is applied to the rows, so what was judged is what will be in force.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from typing import Any, Protocol, Self
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.db.models import Q

from accounts.models import Identity
from contactrules.models import ContactRule, Decision, RuleRevision
from core.errors import Invalid
from core.phones import e164

# A draft lives in an address until it is saved.
MOST_STEPS = 200

_IN, _OUT, _BOTH = ContactRule.Direction.INBOUND, ContactRule.Direction.OUTBOUND, ContactRule.Direction.BOTH


@dataclass(frozen=True, slots=True)
class Face:
    """What of a rule decides; the words of a revision's `before` and `after`."""

    action: str
    target: str
    status: str = ContactRule.Status.ACTIVE
    direction: str = _BOTH

    @classmethod
    def thawed(cls, frozen: Mapping[str, Any]) -> Self:
        """The rule that a revision has frozen; the oldest ones know no direction."""
        return cls(frozen["action"], frozen["match_target"], frozen["status"], frozen.get("direction", _BOTH))

    def covers(self, direction: str) -> bool:
        """Whether it stands in the place of a rule for this direction, for `both` of either."""
        return _BOTH in {direction, self.direction} or self.direction == direction


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Both modes and every rule, by id; immutable."""

    inbound_mode: str
    outbound_mode: str
    rules: Mapping[UUID, Face] = field(default_factory=dict)

    @classmethod
    def of(cls, identity: Identity) -> Self:
        """As the database has it now; the caller holds the identity's lock, or reads through `changes.ruleset_now`."""
        rows = ContactRule.objects.filter(identity_id=identity.pk).only("action", "match_target", "status", "direction")
        rules = {row.pk: Face(row.action, row.match_target, row.status, row.direction) for row in rows.iterator()}
        return cls(identity.imessage_filter_mode, identity.outbound_filter_mode, rules)

    def undone(self, revision: RuleRevision) -> "RuleSet":
        """As it was before a change; revisions are undone newest first."""
        if revision.change == "mode_changed":
            inbound, outbound = both_modes(revision.before or {})
            return replace(self, inbound_mode=inbound, outbound_mode=outbound)
        rules = dict(self.rules)
        rules.pop(_known(revision.rule_id), None)
        if revision.before:
            rules[_known(revision.rule_id)] = Face.thawed(revision.before)
        return replace(self, rules=rules)

    def judge(self) -> "Judge":
        """What gives its verdicts, ready for many of them."""
        return Judge(inbound=_Side.of(self, _IN), outbound=_Side.of(self, _OUT))


def both_modes(frozen: Mapping[str, str]) -> tuple[str, str]:
    """The modes that a revision has frozen, of what comes in and of what goes out."""
    return frozen["mode"], frozen.get("outbound_mode") or frozen["mode"]


def _known(rule_id: UUID | None) -> UUID:
    if rule_id is None:
        raise RuntimeError("A change of a rule has a rule.")
    return rule_id


@dataclass(frozen=True, slots=True)
class _Side:
    """One direction: its mode, and the numbers that an active rule of the deciding action names."""

    is_blacklist: bool
    named: frozenset[str]

    @classmethod
    def of(cls, reach: RuleSet, direction: str) -> Self:
        mode = reach.inbound_mode if direction == _IN else reach.outbound_mode
        is_blacklist = mode == Identity.FilterMode.BLACKLIST
        deciding = ContactRule.Action.BLOCK if is_blacklist else ContactRule.Action.ALLOW
        named = (
            face.target
            for face in reach.rules.values()
            if face.action == deciding and face.status == ContactRule.Status.ACTIVE and face.covers(direction)
        )
        return cls(is_blacklist, frozenset(named))

    def allows(self, human: str) -> bool:
        return (human not in self.named) if self.is_blacklist else (human in self.named)


@dataclass(frozen=True, slots=True)
class Judge:
    """Gives verdicts as `rules.verdict` does, from memory."""

    inbound: _Side
    outbound: _Side

    def allows(self, human: str, *, direction: str, subject: str = Decision.Subject.MESSAGE) -> bool:
        """Whether this would pass; connecting needs permission in both directions."""
        if subject == Decision.Subject.CONNECT:
            return self.inbound.allows(human) and self.outbound.allows(human)
        return (self.inbound if direction == _IN else self.outbound).allows(human)


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a draft: `do` is add, pause, resume, change or delete."""

    do: str
    rule_id: UUID | None = None
    action: str = ""
    target: str = ""
    direction: str = ""

    def frozen(self) -> dict[str, str]:
        words = {"do": self.do, "rule_id": str(self.rule_id or ""), "action": self.action, "target": self.target}
        return {name: word for name, word in (words | {"direction": self.direction}).items() if word}


class Query(Protocol):
    """A parsed query string, such as Django's `QueryDict`."""

    def get(self, key: str, default: str = "") -> Any: ...

    def getlist(self, key: str) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Draft:
    """A change that is not in force: other modes (empty: as they are) and steps, taken in their order.

    A step whose rule is gone, or whose place another rule has taken meanwhile, changes nothing.
    """

    inbound_mode: str = ""
    outbound_mode: str = ""
    steps: tuple[Step, ...] = ()

    @classmethod
    def read(cls, query: Query) -> Self:
        """The draft that an address holds: `inbound_mode outbound_mode allow block pause resume delete change`.

        `allow` and `block` are numbers, with `:inbound` or `:outbound` behind for one direction; `change` is a
        rule's id, an action and a direction, with colons between. Raises `Invalid` or `NotE164`.
        """
        steps = [_added(action, text) for action in ContactRule.Action.values for text in query.getlist(action) if text]
        for do in ("pause", "resume", "delete"):
            steps += [Step(do, rule_id=_id(text)) for text in query.getlist(do)]
        steps += [_changed(text) for text in query.getlist("change")]
        return cls._checked(query.get("inbound_mode", ""), query.get("outbound_mode", ""), steps)

    @classmethod
    def thawed(cls, frozen: Mapping[str, Any]) -> Self:
        """The draft that `frozen` gave."""
        steps = [Step(**(step | _rule_id(step))) for step in frozen.get("steps", [])]
        return cls._checked(frozen.get("inbound_mode", ""), frozen.get("outbound_mode", ""), steps)

    @classmethod
    def of_mode(cls, mode: str, *, direction: str = _BOTH) -> Self:
        """A flip in one direction or both."""
        return cls._checked("" if direction == _OUT else mode, "" if direction == _IN else mode, [])

    @classmethod
    def _checked(cls, inbound_mode: str, outbound_mode: str, steps: Sequence[Step]) -> Self:
        if {inbound_mode, outbound_mode} - {"", *Identity.FilterMode.values}:
            raise Invalid("A filter mode is 'blacklist' or 'whitelist'.")
        if len(steps) > MOST_STEPS:
            raise Invalid(f"A draft holds {MOST_STEPS} changes of rules at most.")
        return cls(inbound_mode, outbound_mode, tuple(steps))

    def frozen(self) -> dict[str, Any]:
        """As it is stored, and shown to programs."""
        modes = {"inbound_mode": self.inbound_mode, "outbound_mode": self.outbound_mode}
        return {name: mode for name, mode in modes.items() if mode} | {"steps": [step.frozen() for step in self.steps]}

    def pairs(self) -> list[tuple[str, str]]:
        """What `read` understands, as names and values."""
        modes = [("inbound_mode", self.inbound_mode), ("outbound_mode", self.outbound_mode)]
        return [pair for pair in modes if pair[1]] + [_pair(step) for step in self.steps]

    def query(self) -> str:
        """The same as a part of an address."""
        return urlencode(self.pairs())

    @property
    def is_empty(self) -> bool:
        return not (self.inbound_mode or self.outbound_mode or self.steps)

    @property
    def changes_mode(self) -> bool:
        return bool(self.inbound_mode or self.outbound_mode)

    @property
    def is_at_large(self) -> bool:
        """Whether it changes who can reach an agent at large: another mode, or rules deleted in bulk."""
        return self.changes_mode or sum(step.do == "delete" for step in self.steps) > 1

    def with_allowed(self, humans: Iterable[str]) -> "Draft":
        """The same with an allow rule for each of these besides."""
        named = {step.target for step in self.steps if step.do == "add"}
        more = [Step("add", action="allow", target=human, direction=_BOTH) for human in humans if human not in named]
        return self._checked(self.inbound_mode, self.outbound_mode, [*self.steps, *more])

    def fitting(self, reach: RuleSet) -> list[Step]:
        """The steps that change something in this reach, in their order."""
        workbench = _Workbench(reach.rules)
        return [step for step in self.steps if workbench.take(step)]

    def applied(self, reach: RuleSet) -> RuleSet:
        """The reach with this draft in force."""
        workbench = _Workbench(reach.rules)
        for step in self.steps:
            workbench.take(step)
        return RuleSet(
            self.inbound_mode or reach.inbound_mode, self.outbound_mode or reach.outbound_mode, workbench.rules
        )


def is_redundant(action: str, direction: str, *, inbound_mode: str, outbound_mode: str) -> bool:
    """Whether a rule changes no verdict in these modes: an allow where all are let in, a block where none is."""
    idle = Identity.FilterMode.BLACKLIST if action == ContactRule.Action.ALLOW else Identity.FilterMode.WHITELIST
    modes = ([] if direction == _OUT else [inbound_mode]) + ([] if direction == _IN else [outbound_mode])
    return all(mode == idle for mode in modes)


def redundant() -> Q:
    """Rules that `is_redundant` says are: for a list of rules with their identities."""
    modes = Identity.FilterMode
    idle = {ContactRule.Action.ALLOW: modes.BLACKLIST, ContactRule.Action.BLOCK: modes.WHITELIST}
    return reduce(or_, [_idle(action, mode) for action, mode in idle.items()])


def _idle(action: str, mode: str) -> Q:
    inbound = Q(identity__imessage_filter_mode=mode)
    outbound = Q(identity__imessage_outbound_filter_mode=mode)
    outbound |= Q(identity__imessage_outbound_filter_mode="") & inbound
    sides = (Q(direction=_IN) & inbound) | (Q(direction=_OUT) & outbound) | (Q(direction=_BOTH) & inbound & outbound)
    return Q(action=action) & sides


class _Workbench:
    """A copy of the rules, on which steps are taken one after the other."""

    def __init__(self, rules: Mapping[UUID, Face]) -> None:
        self.rules = dict(rules)
        self._of_target: defaultdict[str, set[UUID]] = defaultdict(set)
        for rule_id, face in rules.items():
            self._of_target[face.target].add(rule_id)

    def take(self, step: Step) -> bool:
        """Take the step; whether it changed anything."""
        if step.do == "add":
            return self._put(uuid4(), Face(step.action, step.target, direction=step.direction))
        rule_id = _known(step.rule_id)
        face = self.rules.get(rule_id)
        if face is None:
            return False
        if step.do == "delete":
            del self.rules[rule_id]
            return True
        changed = _changed_face(face, step)
        return changed != face and self._put(rule_id, changed)

    def _put(self, rule_id: UUID, face: Face) -> bool:
        """Put a rule in its place, unless another has taken a part of that."""
        others = (self.rules.get(other) for other in self._of_target[face.target] if other != rule_id)
        if any(other is not None and other.covers(face.direction) for other in others):
            return False
        self.rules[rule_id] = face
        self._of_target[face.target].add(rule_id)
        return True


def _changed_face(face: Face, step: Step) -> Face:
    if step.do == "change":
        return replace(face, action=step.action or face.action, direction=step.direction or face.direction)
    return replace(face, status=ContactRule.Status.PAUSED if step.do == "pause" else ContactRule.Status.ACTIVE)


def _added(action: str, text: str) -> Step:
    number, _, direction = text.partition(":")
    return Step("add", action=action, target=e164(number), direction=_direction(direction) or _BOTH)


def _changed(text: str) -> Step:
    rule_id, action, direction = [*text.split(":"), "", ""][:3]
    if action not in {"", *ContactRule.Action.values}:
        raise Invalid("A rule's action is one of allow, block.")
    return Step("change", rule_id=_id(rule_id), action=action, direction=_direction(direction))


def _direction(text: str) -> str:
    if text not in {"", *ContactRule.Direction.values}:
        raise Invalid("A rule's direction is one of inbound, outbound, both.")
    return text


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as odd:
        raise Invalid("A draft names rules by their ids.") from odd


def _rule_id(step: Mapping[str, str]) -> dict[str, UUID]:
    return {"rule_id": UUID(step["rule_id"])} if "rule_id" in step else {}


def _pair(step: Step) -> tuple[str, str]:
    match step.do:
        case "add":
            return step.action, step.target + ("" if step.direction == _BOTH else f":{step.direction}")
        case "change":
            return "change", f"{step.rule_id}:{step.action}:{step.direction}"
    return step.do, str(step.rule_id)
