"""Clients of the AgentPhone dialect with the cast's keys, an owned number and what was said on it."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import Identity
from core.ids import prefixed
from imessage.models import Conversation
from lines.models import Line
from tests import make

NUMBER = "+15555550177"


class Phone:
    """An HTTP client with one key; paths are below `/v1`."""

    def __init__(self, key: str) -> None:
        self.client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {key}"})

    def get(self, path: str, **query: Any) -> HttpResponse:
        return self.client.get(f"/v1{path}", query)

    def post(self, path: str, body: Any = None) -> HttpResponse:
        return self._write("POST", path, body)

    def put(self, path: str, body: Any) -> HttpResponse:
        return self._write("PUT", path, body)

    def patch(self, path: str, body: Any) -> HttpResponse:
        return self._write("PATCH", path, body)

    def delete(self, path: str) -> HttpResponse:
        return self.client.delete(f"/v1{path}")

    def send(self, **body: Any) -> HttpResponse:
        return self.post("/messages", body)

    def _write(self, method: str, path: str, body: Any) -> HttpResponse:
        whole = {} if body is None else {"data": body, "content_type": "application/json"}
        deed: Any = getattr(self.client, method.lower())
        response: HttpResponse = deed(f"/v1{path}", **whole)
        return response


@pytest.fixture
def admin(admin_key: str) -> Phone:
    return Phone(admin_key)


@pytest.fixture
def agent(agent_key: str) -> Phone:
    return Phone(agent_key)


@pytest.fixture
def stranger(charlies_key: str) -> Phone:
    return Phone(charlies_key)


@pytest.fixture
def number(identity: Identity) -> Line:
    """Alice's agent's own number."""
    return make.make_owned_line(identity, NUMBER)


@pytest.fixture
def thread(number: Line) -> Conversation:
    """The human's conversation with it; the human has written once."""
    conversation = make.make_owned_conversation(number)
    make.make_message(conversation, "hello")
    return conversation


def agent_id(identity: Identity) -> str:
    return prefixed("agt", identity.id)


def number_id(line: Line) -> str:
    return prefixed("num", line.id)


def conversation_id(conversation: Conversation) -> str:
    return prefixed("conv", conversation.id)
