from typing import Any

from accounts.models import Identity
from lines.models import Line, Route
from tests import make
from tests.api.conftest import Api

KEY = {"Idempotency-Key": "claim-1"}


def dedicated(**fields: Any) -> Line:
    return make.make_line(kind=Line.Kind.DEDICATED, **fields)


def test_claim_gives_a_line_once(admin: Api) -> None:
    line = dedicated()
    response = admin.post("/imessage/numbers", {}, KEY)
    assert response.status_code == 201
    assert response.json() == {
        "id": str(line.id),
        "number": line.address,
        "type": "dedicated_outbound",
        "status": "active",
        "agent_identity_id": None,
        "agent_handle": None,
    }
    assert admin.post("/imessage/numbers", {}, KEY).content == response.content
    assert admin.get("/imessage/numbers").json() == [response.json()]


def test_claim_needs_a_key_and_an_admin(admin: Api, agent: Api) -> None:
    dedicated()
    assert admin.post("/imessage/numbers", {}).status_code == 422
    assert agent.post("/imessage/numbers", {}, KEY).status_code == 403


def test_claim_without_inventory_says_when_to_ask_again(admin: Api, other_organization: Any) -> None:
    dedicated(organization=other_organization)
    make.make_line()
    response = admin.post("/imessage/numbers", {}, KEY)
    assert (response.status_code, response["Retry-After"]) == (503, "3600")
    detail = response.json()["detail"]
    assert (detail["error"], detail["retry_after_seconds"]) == ("dedicated_imessage_number_inventory_pending", 3600)


def test_claim_stops_at_the_quota(admin: Api, settings: Any) -> None:
    settings.DEDICATED_LINES_PER_ORGANIZATION = 1
    dedicated()
    dedicated()
    assert admin.post("/imessage/numbers", {}, KEY).status_code == 201
    response = admin.post("/imessage/numbers", {}, {"Idempotency-Key": "claim-2"})
    assert response.status_code == 402
    detail = response.json()["detail"]
    assert (detail["error"], detail["limit"], detail["current"]) == ("dedicated_imessage_number_quota_exceeded", 1, 1)


def test_list_shows_the_organizations_own(admin: Api, agent: Api, stranger: Api, identity: Identity) -> None:
    line = dedicated(organization=identity.organization, wanted=Line.Wanted.PAUSED)
    dedicated(organization=identity.organization, wanted=Line.Wanted.RETIRED)
    dedicated()
    make.make_line()
    assert agent.get("/imessage/numbers").json() == []
    Route.objects.create(line=line, line_kind=line.kind, human="*", identity=identity)
    for api in (admin, agent):
        rows = api.get("/imessage/numbers").json()
        assert [(row["id"], row["status"], row["agent_handle"]) for row in rows] == [(str(line.id), "paused", "helper")]
    assert stranger.get("/imessage/numbers").json() == []
