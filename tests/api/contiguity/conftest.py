"""Clients with the cast's keys in the form that Contiguity's clients demand."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.keys import dressed


class Api:
    """An HTTP client with one key."""

    def __init__(self, key: str) -> None:
        self.client = Client(raise_request_exception=False, headers={"Authorization": f"Token {key}"} if key else None)

    def get(self, path: str, **query: Any) -> HttpResponse:
        return self.client.get(path, query)

    def post(self, path: str, body: Any = None) -> HttpResponse:
        return self.client.post(path, {} if body is None else body, content_type="application/json")

    def delete(self, path: str) -> HttpResponse:
        return self.client.delete(path)


def data_of(answer: HttpResponse) -> dict[str, Any]:
    """What stands in the envelope of a good answer, without its metadata."""
    whole = answer.json()
    assert answer.status_code == 200, whole
    assert whole["object"] == "response"
    about = whole["data"].pop("metadata")
    assert about == {name: value for name, value in whole.items() if name != "data"}
    return dict(whole["data"])


def error_of(answer: HttpResponse) -> tuple[int, str]:
    """The status and the sentence of a refusal, which the envelope repeats."""
    whole = answer.json()
    assert (whole["object"], whole["id"][:4]) == ("error", "err_")
    assert whole["data"]["status"] == answer.status_code
    assert isinstance(whole["timestamp"], int)
    assert whole["data"]["metadata"] == {name: value for name, value in whole.items() if name != "data"}
    return answer.status_code, whole["data"]["error"]


@pytest.fixture
def admin(admin_key: str) -> Api:
    return Api(dressed(admin_key, "contiguity"))


@pytest.fixture
def agent(agent_key: str) -> Api:
    return Api(dressed(agent_key, "contiguity"))


@pytest.fixture
def stranger(charlies_key: str) -> Api:
    return Api(dressed(charlies_key, "contiguity"))
