"""Live lookups for an organization: cached, paced, its own number first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.errors import Forbidden, Upstream
from imessage.availability import Availability, NoLookup, availability_of
from lines.models import Line, ProviderAccount, Recipient
from lines.providers.base import ProviderCallFailed, ServiceAnswer
from tests import make
from tests.providers.scripted import ScriptedDriver

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(driver: ScriptedDriver, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines over which the network was asked; what it says stands in `driver.known`."""
    asked: list[str] = []

    def look_up(account: Any, *, line: str, address: str) -> ServiceAnswer:
        asked.append(line)
        if driver.direct_fails:
            raise ProviderCallFailed(None)
        return ServiceAnswer("sms" if address == make.OTHER_HUMAN else "imessage", datetime.now(UTC))

    monkeypatch.setattr(driver, "lookup_service", look_up)
    return asked


def ask(identity: Identity, human: str = make.HUMAN) -> Availability:
    actor = make.agent_of(identity)
    return availability_of(actor, organization_id=identity.organization_id, human=human)


def test_the_answer_is_asked_for_once_and_then_known(identity: Identity, line: Line, asked: list[str]) -> None:
    assert [ask(identity).imessage for _ in range(2)] == [True, True]
    other = ask(identity, make.OTHER_HUMAN)
    assert (other.imessage, other.sms, asked) == (False, True, [line.address] * 2)


def test_an_old_answer_is_asked_for_anew(identity: Identity, line: Line, asked: list[str]) -> None:
    ask(identity)
    Recipient.objects.update(looked_up_at=timezone.now() - timedelta(days=1), looked_up_on=None)
    ask(identity)
    assert len(asked) == 2


def test_the_organizations_own_number_is_asked_first_and_nobody_elses(
    identity: Identity, charlies_identity: Identity, account: ProviderAccount, line: Line, asked: list[str]
) -> None:
    make.make_owned_line(charlies_identity, account=account, created_at=line.created_at - timedelta(days=1))
    own = make.make_owned_line(identity, account=account)
    ask(identity)
    assert asked == [own.address]
    own.wanted = Line.Wanted.PAUSED
    own.save()
    ask(identity, make.OTHER_HUMAN)
    assert asked == [own.address, line.address]


def test_lookups_keep_to_the_pace_of_the_line(identity: Identity, line: Line, asked: list[str]) -> None:
    Line.objects.update(limits={"lookups_per_day": 1})
    ask(identity)
    with pytest.raises(NoLookup) as refused:
        ask(identity, make.OTHER_HUMAN)
    assert (refused.value.status, refused.value.retry_after) == (503, 60)


def test_a_line_that_cannot_look_up_is_not_asked(
    identity: Identity, line: Line, driver: ScriptedDriver, asked: list[str]
) -> None:
    driver.card = replace(driver.card, lookup=False)
    with pytest.raises(NoLookup):
        ask(identity)


def test_what_nobody_could_tell_is_said_so(
    identity: Identity, line: Line, driver: ScriptedDriver, asked: list[str]
) -> None:
    driver.direct_fails = True
    with pytest.raises(Upstream):
        ask(identity)


def test_nobody_asks_for_another_organization(identity: Identity, charlies_identity: Identity) -> None:
    with pytest.raises(Forbidden):
        availability_of(make.agent_of(identity), organization_id=charlies_identity.organization_id, human=make.HUMAN)
