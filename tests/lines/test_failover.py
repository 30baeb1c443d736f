"""Another number stands in while the chosen one cannot send, if its owner wants that."""

from typing import Any

import pytest
from django.db import transaction

from accounts.models import Identity
from core.ids import uuid7
from events.models import Event
from lines.failover import note_substitution, substitute_for
from lines.models import Line
from tests import make

pytestmark = pytest.mark.django_db

ON = {"enabled": True, "mode": "all", "numbers": []}


def number(identity: Identity, **fields: Any) -> Line:
    return make.make_owned_line(identity, **fields)


def used(line: Line, actor: Any = None) -> Line | None:
    assert line.organization
    found = substitute_for(actor or make.admin_of(line.organization), line)
    return found.used if found else None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"seen": Line.Seen.DEGRADED}, None),
        ({"seen": Line.Seen.DOWN}, "down"),
        ({"seen": Line.Seen.FLAGGED}, "flagged"),
        ({"wanted": Line.Wanted.PAUSED}, "paused"),
        ({"wanted": Line.Wanted.PROVISIONING}, "not_in_service"),
    ],
)
def test_a_number_is_replaced_while_it_cannot_send(
    fields: dict[str, Any], reason: str | None, identity: Identity
) -> None:
    line, other = number(identity, failover=ON, **fields), number(identity)
    found = substitute_for(make.agent_of(identity), line)
    assert (found and (found.used, found.reason)) == (reason and (other, reason))


def test_nobody_stands_in_unless_that_is_wanted(identity: Identity) -> None:
    number(identity)
    assert used(number(identity, seen=Line.Seen.DOWN)) is None


def test_only_able_numbers_of_the_same_kind_and_house_stand_in(identity: Identity, charlies_identity: Identity) -> None:
    line = number(identity, failover=ON, seen=Line.Seen.DOWN)
    number(identity, seen=Line.Seen.DOWN)
    number(identity, service=Line.Service.SMS)
    number(charlies_identity)
    number(make.make_identity(identity.organization, imessage_enabled=False))
    make.make_line(kind=Line.Kind.DEDICATED, organization=identity.organization)
    assert used(line) is None


def test_the_same_agents_numbers_come_first_and_a_bound_key_uses_no_others(identity: Identity) -> None:
    line = number(identity, failover=ON, seen=Line.Seen.DOWN)
    colleagues = number(make.make_identity(identity.organization))
    assert (used(line), used(line, make.agent_of(identity))) == (colleagues, None)
    own = number(identity)
    assert used(line) == own


def test_a_selective_failover_keeps_to_its_numbers_in_their_order(identity: Identity) -> None:
    first, second, third = number(identity), number(identity), number(identity)
    named = [third.address, second.address]
    line = number(identity, failover={**ON, "mode": "selective", "numbers": named}, seen=Line.Seen.DOWN)
    assert used(line) == third
    Line.objects.filter(pk__in=[third.pk, second.pk]).update(wanted=Line.Wanted.PAUSED)
    assert (used(line), first.holds_queue) == (None, False)


def test_a_substitution_is_told(identity: Identity) -> None:
    line, other = number(identity, failover=ON, seen=Line.Seen.DOWN), number(identity)
    found, message_id = substitute_for(make.operator(), line), uuid7()
    assert found
    with transaction.atomic():
        note_substitution(
            make.operator(), found, message_id=message_id, identity_id=identity.id, conversation_id=uuid7()
        )
    assert Event.objects.get(type="line.substituted").data == {
        "original": {"id": str(line.id), "address": line.address, "service": "imessage"},
        "used": {"id": str(other.id), "address": other.address, "service": "imessage"},
        "reason": "down",
        "message_id": str(message_id),
    }
