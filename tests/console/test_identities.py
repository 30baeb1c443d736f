"""The pages about identities: who sees and changes them, and what changing them asks."""

import pytest
from django.test import Client

from accounts.models import ApiKey, Identity, Organization
from imessage.models import Connection, Conversation
from tests import make

LIST = "/console/identities/"


def test_a_row_says_how_an_identity_stands(as_alice: Client, conversation: Conversation) -> None:
    page = as_alice.get(LIST)
    row = page.context["rows"][0]
    assert (row.identity.handle, row.state, row.connections, row.left) == ("helper", "on", 1, 100)
    assert "@helper" in page.content.decode()


def test_strangers_identities_do_not_exist(as_charlie: Client, identity: Identity) -> None:
    assert as_charlie.get(LIST).context["rows"] == []
    for tab in ("", "connections/", "keys/", "activity/"):
        assert as_charlie.get(f"{LIST}helper/{tab}").status_code == 404


@pytest.mark.parametrize("tab", ["", "connections/", "keys/", "activity/"])
def test_a_former_handle_still_leads_to_its_pages(as_alice: Client, identity: Identity, tab: str) -> None:
    as_alice.post(f"{LIST}helper/rename/", {"handle": "Butler"})
    assert as_alice.get(f"{LIST}helper/{tab}").context["identity"].handle == "butler"


def test_an_admin_makes_an_identity(as_alice: Client, organization: Organization) -> None:
    answer = as_alice.post(f"{LIST}+/", {"handle": "@Sales", "imessage_enabled": "on"})
    made = Identity.objects.get(handle="sales")
    assert (made.organization, made.imessage_enabled) == (organization, True)
    assert answer.headers["Location"] == f"{LIST}sales/keys/"


@pytest.mark.parametrize("handle", ["", "no spaces", "helper"])
def test_a_handle_that_cannot_be_is_refused_in_place(as_alice: Client, identity: Identity, handle: str) -> None:
    answer = as_alice.post(f"{LIST}+/", {"handle": handle, "display_name": "Kept"})
    assert (answer.status_code, b'value="Kept"' in answer.content) == (422, True)


def test_a_viewer_sees_and_changes_nothing(as_bob: Client, conversation: Conversation) -> None:
    assert as_bob.get(f"{LIST}helper/").status_code == 200
    key = ApiKey.objects.first()
    connection = conversation.connection_id
    refused = ["+/", "helper/rename/", "helper/on/", "helper/pause/", "helper/disable/", "helper/keys/new/"]
    refused += [f"helper/connections/{connection}/release/"] + ([f"helper/keys/{key.id}/revoke/"] if key else [])
    for deed in refused:
        assert as_bob.post(LIST + deed, {"handle": "x", "confirmed": "1"}).status_code == 403, deed


def confirmed(**more: str) -> dict[str, str]:
    return {"confirmed": "1", "reason": "tests", "password": make.PASSWORD, "typed": "@helper"} | more


@pytest.mark.parametrize(("how", "state"), [("pause", "paused"), ("disable", "off")])
def test_switching_off_takes_the_handle_a_reason_and_a_password(
    as_alice: Client, identity: Identity, how: str, state: str
) -> None:
    for missing in ({"typed": ""}, {"reason": ""}):
        assert as_alice.post(f"{LIST}helper/{how}/", confirmed(**missing)).status_code == 422
    assert as_alice.get(f"{LIST}helper/").context["standing"].state == "on"
    as_alice.post(f"{LIST}helper/{how}/", confirmed())
    assert as_alice.get(f"{LIST}helper/").context["standing"].state == state
    as_alice.post(f"{LIST}helper/on/")
    assert as_alice.get(f"{LIST}helper/").context["standing"].state == "on"


def test_the_activity_says_who_did_it_and_why(as_alice: Client, identity: Identity) -> None:
    as_alice.post(f"{LIST}helper/pause/", confirmed(reason="Too chatty"))
    page = as_alice.get(f"{LIST}helper/activity/").content.decode()
    for expected in ("identity.updated", "alice@example.com", "Too chatty"):
        assert expected in page


def test_a_connection_is_released_once_confirmed(as_alice: Client, conversation: Conversation) -> None:
    address = f"{LIST}helper/connections/{conversation.connection_id}/release/"
    assert "Release this connection?" in as_alice.get(address).content.decode()
    as_alice.post(address, confirmed())
    assert Connection.objects.get().status == Connection.Status.RELEASED
    assert "released" in as_alice.get(f"{LIST}helper/connections/").content.decode()


def test_a_key_is_shown_once_and_revoked(as_alice: Client, identity: Identity) -> None:
    text = as_alice.post(f"{LIST}helper/keys/new/", {"label": "My program"}).context["text"]
    key = ApiKey.objects.get()
    assert text.startswith(key.id)
    assert text not in as_alice.get(f"{LIST}helper/keys/").content.decode()
    as_alice.post(f"{LIST}helper/keys/{key.id}/revoke/", confirmed())
    assert ApiKey.objects.get().is_revoked


@pytest.mark.parametrize(
    ("dialect", "start"), [("agentphone", "sk_live_ApiKey_"), ("contiguity", "contiguity_sk_ApiKey_"), ("x", "ApiKey_")]
)
def test_a_key_is_shown_in_the_form_that_a_dialect_demands(
    as_alice: Client, identity: Identity, dialect: str, start: str
) -> None:
    made = as_alice.post(f"{LIST}helper/keys/new/", {"label": "My program", "dialect": dialect})
    assert made.context["text"].startswith(start)


def test_more_rows_ask_no_more_questions(
    as_alice: Client, identity: Identity, django_assert_max_num_queries: object
) -> None:
    for _ in range(5):
        make.make_conversation(make.make_identity(identity.organization))
    with django_assert_max_num_queries(20):  # type: ignore[operator]
        assert len(as_alice.get(LIST).context["rows"]) == 6


def test_an_identitys_numbers_are_attached_and_detached(as_alice: Client, identity: Identity) -> None:
    line = make.make_line("+15555550199", kind="dedicated", organization=identity.organization)
    make.make_line("+15555550198", kind="dedicated")
    page = as_alice.get(f"{LIST}helper/").content.decode()
    assert "+1 555-555-0199, iMessage</option>" in page
    assert "0198" not in page
    as_alice.post(f"{LIST}helper/numbers/", {"number": str(line.id)})
    assert f'id="number-{line.id}"' in as_alice.get(f"{LIST}helper/").content.decode()
    make.make_owned_conversation(line)
    asked = as_alice.get(f"{LIST}helper/numbers/{line.id}/detach/").content.decode()
    assert "Humans who write to it" in asked
    as_alice.post(f"{LIST}helper/numbers/{line.id}/detach/", confirmed())
    assert f'id="number-{line.id}"' not in as_alice.get(f"{LIST}helper/").content.decode()
    assert Connection.objects.get().status == Connection.Status.RELEASED


def test_viewers_see_the_numbers_and_change_none(as_bob: Client, as_charlie: Client, identity: Identity) -> None:
    line = make.make_owned_line(identity, "+15555550199")
    free = make.make_line("+15555550198", kind="dedicated", organization=identity.organization)
    page = as_bob.get(f"{LIST}helper/").content.decode()
    assert "+1 555-555-0199" in page
    assert "Detach" not in page
    assert "0198" not in page
    assert as_bob.post(f"{LIST}helper/numbers/", {"number": str(free.id)}).status_code == 403
    assert as_bob.get(f"{LIST}helper/numbers/{line.id}/detach/").status_code == 403
    assert as_charlie.get(f"{LIST}helper/numbers/{line.id}/detach/").status_code == 404
