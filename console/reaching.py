"""An identity's reach as pages say it: the mode in a sentence, changes in words, and what somebody else changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import QueryDict
from django.urls import reverse

from accounts.models import Identity
from contactrules.changes import Hits, changes_since, hits_of, reasons_of
from contactrules.models import ContactRule, RuleRevision
from contactrules.reach import Draft, RuleSet, is_redundant
from contactrules.rules import ReachChanged
from core.actor import Actor, Role
from core.errors import NotFound

# Of a diff so much is shown; whoever missed more looks at the page.
MOST_CHANGES = 20

_SIDES = {"inbound": "inbound only", "outbound": "outbound only", "both": ""}


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule of a list with what is told of it."""

    rule: ContactRule
    hits: Hits
    reason: str
    is_redundant: bool

    @property
    def side(self) -> str:
        return _SIDES[self.rule.direction]

    @property
    def author(self) -> str:
        return str(self.rule.created_by.get("label", ""))


@dataclass(frozen=True, slots=True)
class Change:
    """One numbered change in words: who, what they did, and the number it is about, if it is about one."""

    revision: RuleRevision
    verb: str
    number: str
    details: list[tuple[str, str, str]]

    @property
    def who(self) -> str:
        return str(self.revision.actor.get("label", "")) or "Somebody"


def may_change(actor: Actor) -> bool:
    """Whether this reader is offered what changes a reach; the operations check it again."""
    return actor.may(Role.ADMIN)


def identity_called(actor: Actor, handle: str) -> Identity:
    """The live identity with this handle, if the actor may see it; raises `NotFound`."""
    name = handle.removeprefix("@").lower()
    rows = Identity.objects.visible_to(actor).live().select_related("organization")
    identity = rows.called(name).first() if name and "\x00" not in name else None
    if identity is None:
        raise NotFound()
    return identity


def rule_rows(rules: Iterable[ContactRule]) -> list[RuleRow]:
    """The rules, which have their identity with them, as rows of a list."""
    rules = list(rules)
    hits, reasons = hits_of(rules), reasons_of(rules)
    return [
        RuleRow(
            rule,
            hits.get(rule.pk, Hits()),
            reasons.get(rule.pk, ""),
            is_redundant(
                rule.action,
                rule.direction,
                inbound_mode=rule.identity.imessage_filter_mode,
                outbound_mode=rule.identity.outbound_filter_mode,
            ),
        )
        for rule in rules
    ]


def sentences(actor: Actor, identity: Identity) -> list[str]:
    """Who can reach the identity, and whom it may write to where that differs."""
    inbound, outbound = ContactRule.Direction.INBOUND, ContactRule.Direction.OUTBOUND
    modes = (identity.imessage_filter_mode, identity.outbound_filter_mode)
    exceptions = [
        _exceptions(actor, identity, mode, side) for mode, side in zip(modes, (inbound, outbound), strict=True)
    ]
    name = f"@{identity.handle}"
    said = [f"{_WHO[modes[0]]} can reach {name}{_except(exceptions[0])}."]
    if modes[0] != modes[1] or exceptions[0] != exceptions[1]:
        whom = "everyone" if modes[1] == Identity.FilterMode.BLACKLIST else "nobody"
        said.append(f"{name} may write to {whom}{_except(exceptions[1])}.")
    return said


_WHO = {"blacklist": "Everyone", "whitelist": "Nobody"}


def _exceptions(actor: Actor, identity: Identity, mode: str, side: str) -> int:
    deciding = ContactRule.Action.BLOCK if mode == Identity.FilterMode.BLACKLIST else ContactRule.Action.ALLOW
    rules = ContactRule.objects.visible_to(actor).active().covering(side)
    return rules.filter(identity=identity, action=deciding).count()


def _except(number: int) -> str:
    return f" except {numbers(number)}" if number else ""


def numbers(number: int) -> str:
    """`1 number`, `12 numbers`."""
    return "1 number" if number == 1 else f"{number:,} numbers"


def idle_words(rules: int) -> str:
    """How many rules are redundant, in words."""
    return f"{'1 rule changes' if rules == 1 else f'{rules:,} rules change'} no verdict in the present mode"


def changes(revisions: Iterable[RuleRevision]) -> list[Change]:
    """Numbered changes in words."""
    return [_change(revision) for revision in revisions]


def changed_meanwhile(actor: Actor, identity: Identity, refused: ReachChanged) -> list[Change]:
    """The diff that stood in the way of a save: what others did after the revision it was made on."""
    since = changes_since(actor, identity, max(0, refused.fields["seen"]))
    return changes(since.exclude(actor__id=actor.id)[:MOST_CHANGES])


def described(rule: ContactRule) -> str:
    """What a rule does, with its side if it has one: `a block rule, inbound only`."""
    side = _SIDES[rule.direction]
    return f"{_a(rule.action)} rule{f', {side}' if side else ''}"


def seen_in(data: QueryDict, otherwise: str = "") -> int:
    """The revision that a form was drawn at; a form without a readable one is refused as outdated, if anything is."""
    text = data.get("seen", "") or otherwise
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def undo_url(actor: Actor, rule_id: UUID) -> str:
    """The address that takes back the newest change of a rule; empty when none is known."""
    known = RuleRevision.objects.visible_to(actor).filter(rule_id=rule_id)
    newest = known.order_by("-id").values_list("pk", flat=True).first()
    return reverse("console:revert_change", args=[newest]) if newest else ""


def _change(revision: RuleRevision) -> Change:
    before, after = revision.before or {}, revision.after or {}
    if revision.change == "mode_changed":
        return Change(revision, _mode_verb(before, after), "", [])
    details = [
        (name, str(before.get(name, "")), str(after.get(name, ""))) for name in ("action", "status", "direction")
    ]
    details = [detail for detail in details if detail[1] != detail[2]]
    number = (after or before).get("match_target", "")
    return Change(revision, _rule_verb(before, after), number, details)


def _mode_verb(before: dict[str, str], after: dict[str, str]) -> str:
    inbound = after["mode"] if after["mode"] != before["mode"] else ""
    outbound = [modes.get("outbound_mode") or modes["mode"] for modes in (before, after)]
    if inbound and outbound[0] != outbound[1] and outbound[1] == inbound:
        return f"set the mode to {inbound}"
    said = [f"inbound mode to {inbound}"] if inbound else []
    said += [f"outbound mode to {outbound[1]}"] if outbound[0] != outbound[1] else []
    return f"set the {' and the '.join(said)}" if said else "changed the mode"


def _rule_verb(before: dict[str, Any], after: dict[str, Any]) -> str:
    if not before:
        return f"added {_a(after['action'])} rule for"
    if not after:
        return f"deleted the {before['action']} rule for"
    if before["action"] != after["action"]:
        return f"turned the {before['action']} rule into {_a(after['action'])} rule for"
    if before["status"] != after["status"]:
        return f"{'paused' if after['status'] == 'paused' else 'resumed'} the {after['action']} rule for"
    return f"changed the directions of the {after['action']} rule for"


def _a(action: str) -> str:
    return f"an {action}" if action == "allow" else f"a {action}"


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One thing a draft would do, and the number it is about."""

    words: str
    number: str = ""


def draft_lines(draft: Draft, ruleset: RuleSet | None) -> list[DraftLine]:
    """A draft in words; rules that are named by their ids are looked up in `ruleset`."""
    lines = []
    if draft.inbound_mode and draft.inbound_mode == draft.outbound_mode:
        lines.append(DraftLine(f"Set the mode to {draft.inbound_mode}, in both directions"))
    else:
        modes = {"inbound": draft.inbound_mode, "outbound": draft.outbound_mode}
        lines += [DraftLine(f"Set the {side} mode to {mode}") for side, mode in modes.items() if mode]
    for step in draft.steps:
        face = ruleset.rules.get(step.rule_id) if ruleset and step.rule_id else None
        target = step.target or (face.target if face else "")
        side = _SIDES.get(step.direction, "")
        words = _STEPS.get(step.do, "").format(action=step.action or "same", a=_a(step.action or "same"))
        lines.append(DraftLine(words + (f" ({side})" if side else "") + ("" if target else " that is gone"), target))
    return lines


_STEPS = {
    "add": "Add {a} rule",
    "pause": "Pause the rule",
    "resume": "Resume the rule",
    "delete": "Delete the rule",
    "change": "Turn the rule into {a} rule",
}
