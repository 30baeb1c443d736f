"""Numbers: looked for, bought, changed, released; their cards and what was said on them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Identity
from imessage.models import Conversation
from imessage.shapes import iso
from lines.models import Line
from tests import make
from tests.api.agentphone.conftest import NUMBER, Phone, agent_id, conversation_id, number_id


@pytest.fixture
def stock(db: None) -> Line:
    """A free number."""
    return make.make_line("+14155550166", kind=Line.Kind.DEDICATED)


def test_one_is_bought_for_an_agent(admin: Phone, identity: Identity, stock: Line) -> None:
    ends = iso(timezone.now() + timedelta(days=1))
    body = {"areaCode": "415", "agentId": agent_id(identity), "externalId": "crm-7", "expiresAt": ends}
    response = admin.post("/numbers", body)
    stock.refresh_from_db()
    assert response.status_code == 200
    assert response.json() == {
        "id": number_id(stock),
        "phoneNumber": "+14155550166",
        "country": "US",
        "status": "active",
        "type": "imessage",
        "agentId": agent_id(identity),
        "outboundSms": "enabled",
        "inboundCallsEnabled": False,
        "readReceiptsEnabled": False,
        "whatsappEnabled": False,
        "dailyNewContacts": response.json()["dailyNewContacts"],
        "purchasedAt": iso(stock.claimed_at),
        "externalId": "crm-7",
        "expiresAt": ends,
        "rcsFallbackForAlias": None,
        "createdAt": iso(stock.claimed_at),
    }
    assert admin.get(f"/numbers/{number_id(stock)}").json() == response.json()
    assert admin.get("/numbers").json()["data"] == [response.json()]


def test_without_stock_and_over_the_quota_it_is_a_conflict(admin: Phone, stock: Line, settings: object) -> None:
    nothing = admin.post("/numbers", {"areaCode": "999"})
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (409, "LINE_INVENTORY_PENDING")
    settings.DEDICATED_LINES_PER_ORGANIZATION = 0  # type: ignore[attr-defined]
    full = admin.post("/numbers", {})
    assert (full.status_code, full.json()["error"]["code"]) == (409, "VALIDATION_ERROR_NUMBER_LIMIT")


def test_an_agent_that_is_not_there_buys_nothing(admin: Phone, stock: Line) -> None:
    assert admin.post("/numbers", {"agentId": "agt_nonsense"}).status_code == 404
    stock.refresh_from_db()
    assert stock.organization_id is None


def test_free_ones_are_found_by_area_code(admin: Phone, stock: Line) -> None:
    found = {"phoneNumber": "+14155550166", "city": None, "state": None, "rateCenter": None, "areaCode": "415"}
    assert admin.get("/numbers/available", areaCode="415").json() == {"data": [found]}
    assert admin.get("/numbers/available", areaCode="212").json() == {"data": []}
    assert admin.get("/numbers/available", city="Reno").json() == {"data": []}


def test_one_is_changed_and_released_for_good(admin: Phone, number: Line) -> None:
    path = f"/numbers/{number_id(number)}"
    assert admin.patch(path, {"externalId": "crm-8"}).json()["externalId"] == "crm-8"
    assert admin.patch(path, {"externalId": None}).json()["externalId"] is None
    assert admin.delete(path).json() == {"success": True, "phoneNumber": NUMBER, "status": "released"}
    assert (admin.get(path).json()["status"], admin.get(path).json()["agentId"]) == ("released", None)
    assert admin.get("/numbers").json()["total"] == 0
    assert admin.delete(path).status_code == 400


def test_numbers_are_looked_up_by_their_digits(admin: Phone) -> None:
    found = admin.get("/numbers/lookup", phoneNumbers="+4915112345678, (415) 555-0166").json()["data"]
    assert [(row["phoneNumber"], row["lineType"], row["country"]) for row in found] == [
        ("+4915112345678", "mobile", "DE"),
        ("+14155550166", None, "US"),
    ]


@pytest.mark.parametrize("numbers", ["", ",", "12", ",".join(["+14155550166"] * 26)])
def test_strange_lookups_are_refused(admin: Phone, numbers: str) -> None:
    assert admin.get("/numbers/lookup", phoneNumbers=numbers).status_code == 422


def test_a_card_is_put_read_and_taken_away(admin: Phone, number: Line) -> None:
    path = f"/numbers/{number_id(number)}/contact-card"
    assert admin.get(path).status_code == 404
    card = {"firstName": "Ada", "lastName": "", "avatarUrl": "https://files.example.com/a.png"}
    shown = {"firstName": "Ada", "lastName": "", "displayName": None, "hasAvatar": True}
    assert admin.put(path, card).json() == shown
    assert admin.get(path).json() == shown
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_its_messages_name_both_sides_in_every_way(admin: Phone, number: Line, thread: Conversation) -> None:
    [row] = admin.get(f"/numbers/{number_id(number)}/messages").json()["data"]
    assert row["conversationId"] == conversation_id(thread)
    assert (row["from"], row["from_"], row["fromNumber"]) == (make.HUMAN,) * 3
    assert (row["to"], row["toNumber"]) == (NUMBER,) * 2


def test_a_time_is_understood_in_any_zone(admin: Phone, number: Line) -> None:
    """PostgreSQL knows offsets of less than 16 hours alone."""
    shown = admin.patch(f"/numbers/{number_id(number)}", {"expiresAt": "2500-01-01T00:00:00+23:00"}).json()
    assert shown["expiresAt"] == "2499-12-31T01:00:00Z"
