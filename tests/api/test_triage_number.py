from accounts.models import Identity
from lines.models import Line
from tests.api.conftest import Api


def test_a_bound_key_gets_its_own_command(agent: Api, identity: Identity, router: Line) -> None:
    assert agent.get("/imessage/triage-number").json() == {
        "number": router.address,
        "connect_command": "connect @helper",
    }


def test_an_admin_key_gets_a_placeholder(admin: Api, router: Line) -> None:
    assert admin.get("/imessage/triage-number").json() == {
        "number": router.address,
        "connect_command": "connect @your-handle",
    }


def test_without_a_router_it_is_not_found(admin: Api) -> None:
    response = admin.get("/imessage/triage-number")
    assert (response.status_code, response.json()) == (404, {"detail": "No router number is active."})
