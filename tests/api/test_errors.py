"""Whatever goes wrong, the body has the shape of the dialect that the path belongs to."""

import pytest
from django.db import DatabaseError
from django.test import Client

from accounts.models import Identity
from tests.api.conftest import Api


@pytest.mark.parametrize("path", ["/api/", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/imessage/nothing"])
def test_an_unknown_path_is_not_found(admin_key: str, path: str) -> None:
    response = Client(headers={"X-API-Key": admin_key}).get(path)
    assert (response.status_code, response.json()) == (404, {"detail": "Not found."})


def test_a_wrong_method_is_told_the_right_ones(admin: Api) -> None:
    response = admin.delete("/imessage/messages")
    assert response.status_code == 405
    assert response["Allow"] == "GET, POST"
    assert response.json() == {"detail": "This path knows only GET and POST."}


def test_a_bug_is_no_traceback(admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, actor: object) -> None:
        raise DatabaseError("secret detail")

    monkeypatch.setattr(type(Identity.objects.all()), "visible_to", fail)
    response = admin.get("/identities/")
    assert response.status_code == 500
    assert response.json() == {"detail": "Something went wrong here; the operator can find it in the log."}


def test_json_is_read_whatever_its_content_type(admin_key: str) -> None:
    client = Client(headers={"X-API-Key": admin_key})
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        response = client.generic("POST", "/api/v1/identities/", b'{"agent_handle": "a b"}', content_type=content_type)
        assert response.json()["detail"][0]["type"] == "bad_handle"


def test_a_key_is_asked_for_before_the_body_is_read(nobody: Api) -> None:
    response = nobody.client.generic("POST", "/api/v1/imessage/messages", b"{", content_type="application/json")
    assert response.status_code == 401


def test_an_unknown_path_below_another_dialects_root_is_not_found_in_its_shape(client: Client) -> None:
    answer = client.get("/v1/nothing")
    error = {"message": "Not found.", "code": "NOT_FOUND", "type": "not_found_error"}
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found.", "error": error})


def test_a_wrong_method_is_told_in_the_dialects_shape(client: Client, admin_key: str) -> None:
    answer = client.put("/v1/agents", headers={"Authorization": f"Bearer {admin_key}"})
    assert answer.status_code == 405
    assert "GET" in answer["Allow"]
    assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nonsense", "Basic {key}", "{key}"])
def test_a_key_that_is_not_borne_is_unauthenticated(client: Client, admin_key: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.format(key=admin_key)}
    answer = client.get("/v1/agents", headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
    assert isinstance(answer.json()["detail"], str)


def test_a_bug_is_no_traceback_there_either(admin_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, actor: object) -> None:
        raise DatabaseError("secret detail")

    monkeypatch.setattr(type(Identity.objects.all()), "visible_to", fail)
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {admin_key}"})
    answer = client.get("/v1/agents")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.content.decode()
