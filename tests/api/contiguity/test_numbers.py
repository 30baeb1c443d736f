"""Numbers: listed, leased, configured, given back; who can be reached."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.ids import prefixed
from lines.models import Line, Recipient, Route
from tests import make
from tests.api.contiguity.conftest import Api, data_of, error_of

AT = datetime(2026, 6, 9, 12, tzinfo=UTC)
AT_SECONDS = 1781006400
PRICE = {"currency": "USD", "upfront_fee": 0.0, "monthly_rate": 0.0}


def free(address: str = "+12125550101", **fields: Any) -> Line:
    return make.make_line(address, kind=Line.Kind.DEDICATED, **{"region": "US", "created_at": AT, **fields})


@pytest.fixture
def owned(identity: Identity) -> Line:
    return make.make_owned_line(identity, "+12125550102", region="US", created_at=AT, claimed_at=AT)


def shown(line: Line, **changes: Any) -> dict[str, Any]:
    return {
        "id": line.address,
        "status": "available",
        "number": {"e164": line.address, "formatted": "+1 212-555-010" + line.address[-1]},
        "location": {"country": "US", "region": "", "city": ""},
        "carrier": "Contiguity",
        "capabilities": {"intl_sms": True, "channels": ["imessage", "sms", "mms"]},
        "health": {"reputation": 1.0, "previous_owners": 0},
        "data": {"requirements": [], "e911_capable": False},
        "created_at": AT_SECONDS,
        "pricing": PRICE,
        "lease_id": None,
        "lease_status": None,
        "billing": None,
        **changes,
    }


def leased(line: Line) -> dict[str, Any]:
    billing = {"method": "monthly", "period": {"start": AT_SECONDS, "end": None}}
    lease_id = prefixed("lsd", line.id)
    return shown(line, status="leased", lease_id=lease_id, lease_status="active", billing=billing)


@pytest.mark.parametrize("path", ["/numbers/leases", "/leases"])
def test_what_can_be_leased_is_listed(agent: Api, owned: Line, path: str) -> None:
    line = free()
    free("+12125550109", wanted=Line.Wanted.PAUSED)
    make.make_line()
    assert data_of(agent.get(path)) == {"available": 1, "numbers": [shown(line)]}


@pytest.mark.parametrize("path", ["/numbers/leased", "/leased"])
def test_what_is_leased_is_listed(agent: Api, admin: Api, stranger: Api, owned: Line, path: str) -> None:
    for api in (agent, admin):
        assert data_of(api.get(path)) == {"leased": 1, "numbers": [leased(owned)]}
    assert data_of(stranger.get(path)) == {"leased": 0, "numbers": []}


@pytest.mark.parametrize("path", ["/numbers/{}", "/numbers/leased/{}", "/lease/{}"])
def test_a_number_has_details(agent: Api, stranger: Api, owned: Line, path: str) -> None:
    line = free()
    assert data_of(agent.get(path.format(line.address))) == shown(line)
    assert data_of(agent.get(path.format(owned.address.replace("+", "%2B")))) == leased(owned)
    assert error_of(stranger.get(path.format(owned.address)))[0] == 404


@pytest.mark.parametrize("number", ["x", "+10000000000", "me@icloud.com", "%F0%9F%98%80"])
def test_no_other_number_is_known(admin: Api, number: str) -> None:
    for answer in (admin.get(f"/numbers/{number}"), admin.post(f"/lease/{number}"), admin.delete(f"/leased/{number}")):
        assert error_of(answer)[0] == 404


def test_a_number_in_a_path_is_text_that_can_be_stored(admin: Api) -> None:
    assert error_of(admin.get("/numbers/%00"))[0] == 400


def test_shared_numbers_are_nobody_s_to_see(admin: Api) -> None:
    line = make.make_line()
    assert error_of(admin.get(f"/numbers/{line.address}"))[0] == 404
    assert error_of(admin.post(f"/numbers/lease/{line.address}"))[0] == 404
    assert error_of(admin.delete(f"/numbers/leased/{line.address}"))[0] == 404


@pytest.mark.parametrize("path", ["/numbers/lease/{}", "/lease/{}"])
def test_an_organization_s_only_agent_speaks_over_a_new_number(admin: Api, identity: Identity, path: str) -> None:
    line = free()
    found = data_of(admin.post(path.format(line.address), {"billing_method": "service_contract"}))
    assert (found["status"], found["billing"]["method"], found["billing"]["price"]) == (
        "leased",
        "service_contract",
        PRICE,
    )
    assert Route.objects.get(line=line).identity == identity
    assert error_of(admin.post(path.format(line.address)))[0] == 400


def test_of_several_agents_none_is_chosen(admin: Api, identity: Identity) -> None:
    make.make_identity(identity.organization, "colleague")
    line = free()
    assert data_of(admin.post(f"/numbers/lease/{line.address}"))["lease_status"] == "active"
    assert not Route.objects.filter(line=line).exists()


def test_a_bound_key_leases_and_gives_back_nothing(agent: Api, owned: Line) -> None:
    line = free()
    assert error_of(agent.post(f"/numbers/lease/{line.address}"))[0] == 403
    assert error_of(agent.delete(f"/numbers/leased/{owned.address}"))[0] == 403
    assert error_of(agent.post(f"/numbers/{owned.address}/configure", {"failover": {"enabled": False}}))[0] == 403


def test_one_may_have_so_many(admin: Api, owned: Line, settings: Any) -> None:
    settings.DEDICATED_LINES_PER_ORGANIZATION = 1
    answer = admin.post(f"/numbers/lease/{free().address}")
    assert error_of(answer) == (403, "This organization has 1 of 1 dedicated lines.")


@pytest.mark.parametrize("path", ["/numbers/leased/{}", "/leased/{}"])
def test_a_number_is_given_back(admin: Api, owned: Line, path: str) -> None:
    found = data_of(admin.delete(path.format(owned.address)))
    assert isinstance(found.pop("terminated_at"), int)
    assert found == {"lease_id": prefixed("lsd", owned.id), "number_id": owned.address, "status": "terminated"}
    assert data_of(admin.get("/numbers/leased"))["leased"] == 0
    assert error_of(admin.get(f"/numbers/{owned.address}"))[0] == 404


def test_nobody_else_gives_it_back(stranger: Api, owned: Line) -> None:
    assert error_of(stranger.delete(f"/numbers/leased/{owned.address}"))[0] == 404


def test_another_number_may_stand_in(admin: Api, identity: Identity, owned: Line) -> None:
    other = make.make_owned_line(identity, "+12125550103")
    failover = {"enabled": True, "mode": "selective", "numbers": [other.address]}
    path = f"/numbers/{owned.address}/configure"
    assert data_of(admin.post(path, {"failover": failover})) == {"number": owned.address, "failover": failover}
    strange = {**failover, "numbers": ["+12125550199"]}
    assert error_of(admin.post(path, {"failover": strange}))[0] == 400


@pytest.mark.parametrize(
    "body", [{}, {"failover": None}, {"failover": {"enabled": "yes"}}, {"failover": {"enabled": True, "mode": "some"}}]
)
def test_a_bad_configuration_is_explained(admin: Api, owned: Line, body: dict[str, Any]) -> None:
    assert error_of(admin.post(f"/numbers/{owned.address}/configure", body))[0] == 400


@pytest.mark.parametrize(("service", "available"), [("imessage", True), ("sms", False)])
def test_whether_a_human_has_imessage_is_known(agent: Api, owned: Line, service: str, available: bool) -> None:
    Recipient.objects.create(human=make.HUMAN, service=service, looked_up_at=timezone.now())
    path = f"/conversations/availability/imessage/{make.HUMAN}"
    assert data_of(agent.get(path)) == {"available": available}


def test_of_what_is_no_number_nobody_asks(agent: Api, owned: Line) -> None:
    assert error_of(agent.get("/conversations/availability/imessage/me@icloud.com"))[0] == 400
