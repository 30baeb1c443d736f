"""Whatever goes wrong, the body is the dialect's envelope: its clients fail on any other."""

import pytest
from django.db import DatabaseError
from django.test import Client

from imessage.models import Conversation
from tests.api.contiguity.conftest import Api, error_of

ROOTS = ["send", "conversations", "numbers", "imessage", "history", "leases", "leased", "lease", "contiguity"]


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("rest", ["/nothing/at/all", "//"])
def test_an_unknown_path_is_not_found(admin: Api, root: str, rest: str) -> None:
    assert error_of(admin.get(f"/{root}{rest}")) == (404, "Not found.")


def test_a_wrong_method_is_told_the_right_ones(admin: Api) -> None:
    answer = admin.delete("/conversations/history/message/x")
    assert error_of(answer) == (405, "This path knows only GET.")
    assert answer["Allow"] == "GET"


@pytest.mark.parametrize("header", [None, "", "Token", "Token nonsense", "Basic {key}", "{key}", "X-API-Key {key}"])
def test_without_a_usable_key_nothing_is_answered(client: Client, admin_key: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.format(key=admin_key)}
    answer = client.get("/conversations/history/message/x", headers=headers)
    assert error_of(answer) == (401, "The API key is missing, malformed, unknown, expired or revoked.")


@pytest.mark.parametrize("scheme", ["Token", "token", "Bearer"])
@pytest.mark.parametrize("clothes", ["", "contiguity_sk_", "sk_live_"])
def test_a_key_is_taken_in_every_form(client: Client, admin_key: str, scheme: str, clothes: str) -> None:
    headers = {"Authorization": f"{scheme} {clothes}{admin_key}"}
    assert client.get("/conversations/history/message/x", headers=headers).status_code == 404


def test_a_bug_is_no_traceback(admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, actor: object) -> None:
        raise DatabaseError("secret detail")

    monkeypatch.setattr(type(Conversation.objects.all()), "visible_to", fail)
    answer = admin.get("/conversations/history/imessage/+15555550123/+15555550200/20")
    assert error_of(answer) == (500, "Something went wrong here; the operator can find it in the log.")
