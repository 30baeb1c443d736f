"""Who comes in, and what a browser may keep."""

import pytest
from django.test import Client

from imessage.models import Conversation
from tests import make
from tests.console.conftest import signed_in

PAGES = ["/console/threads/", "/console/blocked/"]


def test_the_root_leads_to_the_threads(client: Client, db: None) -> None:
    assert client.get("/")["Location"] == "/console/threads/"


@pytest.mark.parametrize("path", PAGES)
def test_nobody_comes_in_without_signing_in(client: Client, db: None, path: str) -> None:
    assert client.get(path)["Location"] == f"/accounts/login/?next={path}"


def test_signing_in_leads_to_the_threads(client: Client, alice: object) -> None:
    answer = client.post("/accounts/login/", {"login": "alice@example.com", "password": make.PASSWORD}, follow=True)
    assert answer.redirect_chain[-1][0] == "/console/threads/"


def test_a_wrong_password_is_told_so(client: Client, alice: object) -> None:
    answer = client.post("/accounts/login/", {"login": "alice@example.com", "password": "wrong"})
    assert answer.status_code == 200
    assert b'role="alert"' in answer.content


def test_signing_out_ends_the_session(as_alice: Client) -> None:
    as_alice.post("/accounts/logout/")
    assert as_alice.get("/console/threads/").status_code == 302


def test_nobody_signs_up(client: Client, db: None) -> None:
    client.post("/accounts/signup/", {"email": "eve@example.com", "password1": make.PASSWORD})
    assert client.post("/accounts/login/", {"login": "eve@example.com", "password": make.PASSWORD}).status_code == 200


def test_a_person_without_membership_gets_a_drawn_refusal(db: None) -> None:
    answer = signed_in(make.make_user(None, "nobody@example.com")).get("/console/threads/")
    assert answer.status_code == 403
    assert b"You are not a member of any organization here." in answer.content


@pytest.mark.parametrize("path", PAGES)
def test_pages_with_text_are_never_stored(as_alice: Client, path: str) -> None:
    answer = as_alice.get(path)
    assert answer["Cache-Control"] == "no-store"
    assert "HX-Request" in answer["Vary"]


def test_a_stranger_gets_the_same_404_as_for_a_missing_thread(
    as_charlie: Client, conversation: Conversation, charlies_identity: object
) -> None:
    missing = "00000000-0000-7000-8000-000000000000"
    for part in ("", "log/", "tail/", "about/"):
        theirs = as_charlie.get(f"/console/threads/{conversation.id}/{part}")
        none = as_charlie.get(f"/console/threads/{missing}/{part}")
        assert theirs.status_code == none.status_code == 404
        assert theirs.content.replace(str(conversation.id).encode(), b"") == none.content.replace(missing.encode(), b"")


def test_nothing_on_a_page_is_inline(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation)
    page = as_alice.get(f"/console/threads/{conversation.id}/").content.decode()
    for forbidden in ("style=", "<style", "hx-on", "javascript:", "onclick"):
        assert forbidden not in page
    assert page.count("<script") == page.count("<script src=")


def test_the_theme_is_kept_in_a_cookie_and_drawn_by_the_server(as_alice: Client) -> None:
    as_alice.post("/console/theme/", {"theme": "dark"})
    assert b'data-theme="dark"' in as_alice.get("/console/threads/").content
    as_alice.post("/console/theme/", {"theme": "system"})
    assert b"<html data-theme" not in as_alice.get("/console/threads/").content
