"""Many numbers at once, as people paste them: read line by line, shown first, then added batch by batch."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import phonenumbers
from django.db import transaction

from accounts.models import Identity
from contactrules.models import ContactRule
from contactrules.reach import is_redundant
from contactrules.rules import DuplicateRule, create_rule, lock_reach, require_unchanged
from core.actor import Actor, Role
from core.errors import TooLarge
from core.phones import NotE164, e164

MOST_LINES = 5_000
# One transaction each: the identity is locked meanwhile, and its texts wait.
BATCH = 100

# What people put behind a number, such as a name in the next column of a sheet.
_REST = re.compile(r"[,;\t#].*", re.DOTALL)


class State(StrEnum):
    """What is to be said of a pasted line."""

    VALID = "valid"
    REDUNDANT = "redundant"  # may be added, and changes no verdict in the present mode
    DUPLICATE = "duplicate"  # the number is in an earlier line, or a rule covers it
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Line:
    """One pasted line, the number that was read from it, and the rule that has its place already."""

    number: int
    text: str
    state: State
    target: str = ""
    rule_id: UUID | None = None

    @property
    def may_be_added(self) -> bool:
        return self.state in {State.VALID, State.REDUNDANT}


def read_lines(actor: Actor, identity: Identity, text: str, *, action: str, direction: str) -> list[Line]:
    """Judge each line that is not empty; raises `TooLarge` beyond `MOST_LINES` of them."""
    pasted = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(pasted) > MOST_LINES:
        raise TooLarge(f"Paste {MOST_LINES} lines at most.")
    read = [(number, line, number_in(line)) for number, line in pasted]
    rules = ContactRule.objects.visible_to(actor).covering(direction).filter(identity=identity)
    taken = dict(rules.filter(match_target__in={found for *_, found in read}).values_list("match_target", "id"))
    idle = is_redundant(
        action,
        direction,
        inbound_mode=identity.imessage_filter_mode,
        outbound_mode=identity.outbound_filter_mode,
    )
    return list(_judged(read, taken, State.REDUNDANT if idle else State.VALID))


def number_in(line: str) -> str:
    """The number that a line begins with, in E.164; empty when there is none. It must carry its country's code."""
    written = _REST.sub("", line).strip().replace("\N{NO-BREAK SPACE}", " ")
    if written.startswith("00"):
        written = "+" + written[2:]
    try:
        parsed = phonenumbers.parse(written)
        return e164(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
    except (phonenumbers.NumberParseException, NotE164):
        return ""


def add_rules(
    actor: Actor,
    identity: Identity,
    *,
    targets: Sequence[str],
    action: str,
    direction: str,
    reason: str = "",
    seen: int | None = None,
) -> tuple[list[ContactRule], list[str]]:
    """Add a rule for each number; those that were added, and the numbers that a rule covers by now.

    Each batch is one transaction, so an error leaves whole batches behind. Raises `ReachChanged`, `Forbidden`,
    `NotE164` before anything is done.
    """
    actor.require(Role.ADMIN)
    targets = [e164(target) for target in targets]
    added: list[ContactRule] = []
    taken: list[str] = []
    for start in range(0, len(targets), BATCH):
        with transaction.atomic():
            identity = lock_reach(identity)
            require_unchanged(actor, identity, seen)
            for target in targets[start : start + BATCH]:
                try:
                    rule = create_rule(
                        actor, identity, action=action, match_target=target, direction=direction, reason=reason
                    )
                except DuplicateRule:
                    taken.append(target)
                else:
                    added.append(rule)
    return added, taken


def _judged(read: Sequence[tuple[int, str, str]], taken: dict[str, UUID], usual: State) -> Iterator[Line]:
    seen: set[str] = set()
    for number, line, target in read:
        if not target:
            yield Line(number, line[:200], State.INVALID)
        elif target in seen or target in taken:
            yield Line(number, line[:200], State.DUPLICATE, target, taken.get(target))
        else:
            seen.add(target)
            yield Line(number, line[:200], usual, target)
