"""Free numbers are found, claimed, kept and, once given back, offered again."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Organization
from core.errors import Conflict, Forbidden, Invalid, NotFound
from events.models import Event
from lines import claiming
from lines.models import Line
from tests import make

pytestmark = pytest.mark.django_db


def free(address: str | None = None, **fields: Any) -> Line:
    return make.make_line(address, kind=Line.Kind.DEDICATED, **fields)


def claim(organization: Organization, **wish: Any) -> Line:
    return claiming.claim_line(make.admin_of(organization), organization=organization, **wish)


@pytest.fixture
def inventory(db: None) -> dict[str, str]:
    rows = {
        "boston": free("+16175550101"),
        "chicago": free("+13125550101", service=Line.Service.SMS),
        "vienna": free("+431555010101"),
        "told": free("+12125550101", region="CA"),
    }
    free("+13125550102", organization=make.make_organization())
    free("+13125550103", wanted=Line.Wanted.PAUSED)
    return {line.address: name for name, line in rows.items()}


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ({}, ["boston", "chicago", "vienna", "told"]),
        ({"area_code": "617"}, ["boston"]),
        ({"country": "us"}, ["boston", "chicago"]),
        ({"country": "CA", "area_code": "212"}, ["told"]),
        ({"country": "AT", "area_code": "1"}, ["vienna"]),
        ({"country": "XX"}, []),
        ({"service": "sms"}, ["chicago"]),
        ({"address": "+431555010101"}, ["vienna"]),
        ({"address": "+13125550102"}, []),
    ],
)
def test_free_lines_are_those_that_fit(wish: Any, found: list[str], inventory: dict[str, str]) -> None:
    assert [inventory[line.address] for line in claiming.free_lines(**wish)] == found


def test_any_claim_is_for_imessage_and_a_certain_one_for_what_it_is(organization: Organization) -> None:
    sms, imessage = free("+16175550102", service=Line.Service.SMS), free("+16175550101")
    until = timezone.now() + timedelta(days=1)
    line = claim(organization, external_id="crm-7", expires_at=until)
    assert (line, line.external_id, line.expires_at) == (imessage, "crm-7", until)
    assert line.claimed_at
    assert claim(organization, address=sms.address) == sms
    told = Event.objects.filter(type="line.claimed").order_by("number")
    assert [event.data["service"] for event in told] == ["imessage", "sms"]


def test_a_certain_number_is_refused_when_it_is_not_free(
    organization: Organization, other_organization: Organization
) -> None:
    free("+16175550101", organization=other_organization)
    free("+16175550102", organization=organization)
    for address, refusal in (
        ("+16175550101", NotFound),
        ("+1617555", NotFound),
        ("+16175550102", claiming.AlreadyOwned),
    ):
        with pytest.raises(refusal):
            claim(organization, address=address)


def owned(organization: Organization, **fields: Any) -> Line:
    return free(organization=organization, **fields)


def change(line: Line, **changes: Any) -> Line:
    assert line.organization
    return claiming.change_line(make.admin_of(line.organization), line, changes=changes)


def test_what_is_kept_of_a_number_is_changed_and_told_once(organization: Organization) -> None:
    line, other = owned(organization), owned(organization)
    failover = {"enabled": True, "mode": "selective", "numbers": [other.address]}
    for _ in range(2):
        line = change(line, failover=failover, contact_card={"first_name": "Ann", "avatar_url": ""}, external_id=None)
    assert (line.failover, line.contact_card, line.external_id) == (failover, {"first_name": "Ann"}, "")
    assert Event.objects.get(type="line.changed").data["changed"] == ["contact_card", "failover"]


@pytest.mark.parametrize(
    "changes",
    [
        {"failover": {"mode": "some"}},
        {"failover": {"enabled": True, "mode": "selective"}},
        {"failover": {"enabled": True, "numbers": ["+16175550199"]}},
        {"contact_card": {"age": "7"}},
        {"contact_card": {"first_name": 7}},
        {"external_id": "x" * 256},
        {"expires_at": timezone.now()},
        {"kind": "pool"},
    ],
)
def test_what_cannot_be_kept_is_refused(changes: dict[str, Any], organization: Organization) -> None:
    with pytest.raises(Invalid):
        change(owned(organization), **changes)


def test_only_admins_of_its_organization_change_a_number(
    organization: Organization, other_organization: Organization
) -> None:
    line = owned(other_organization)
    with pytest.raises(NotFound):
        claiming.change_line(make.admin_of(organization), line, changes={"external_id": "x"})
    with pytest.raises(Forbidden):
        claiming.change_line(make.agent_of(make.make_identity(other_organization)), line, changes={"external_id": "x"})


def test_a_released_number_is_claimed_again_only_once_an_operator_offers_it(
    organization: Organization, other_organization: Organization, settings: Any
) -> None:
    settings.DEDICATED_LINES_PER_ORGANIZATION = 1
    line = owned(organization, external_id="crm-7", released_at=timezone.now())
    assert not Line.objects.visible_to(make.admin_of(organization)).exists()
    with pytest.raises(NotFound):
        claim(other_organization, address=line.address)
    claiming.offer_again(make.operator(), line, reason="Four weeks have passed.")
    assert claim(other_organization).external_id == ""
    with pytest.raises(Conflict):
        claiming.offer_again(make.operator(), line, reason="again")
