"""Clients of the AgentPhone dialect with the cast's keys, an owned number and what was said on it."""

import functools
import json
import re
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import Identity
from api.agentphone.routes import api
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
        return as_documented("GET", path, self.client.get(f"/v1{path}", query))

    def post(self, path: str, body: Any = None) -> HttpResponse:
        return self._write("POST", path, body)

    def put(self, path: str, body: Any) -> HttpResponse:
        return self._write("PUT", path, body)

    def patch(self, path: str, body: Any) -> HttpResponse:
        return self._write("PATCH", path, body)

    def delete(self, path: str) -> HttpResponse:
        return as_documented("DELETE", path, self.client.delete(f"/v1{path}"))

    def send(self, **body: Any) -> HttpResponse:
        return self.post("/messages", body)

    def _write(self, method: str, path: str, body: Any) -> HttpResponse:
        whole = {} if body is None else {"data": body, "content_type": "application/json"}
        deed: Any = getattr(self.client, method.lower())
        return as_documented(method, path, deed(f"/v1{path}", **whole))


def as_documented(method: str, path: str, response: HttpResponse) -> HttpResponse:
    """The response, if its status and body are such as the document says."""
    for pattern, operation in _operations():
        if method in operation.methods and pattern.fullmatch(path.partition("?")[0]):
            answer = operation.response_models[response.status_code]
            if answer is not None:
                answer.model_validate({"response": json.loads(response.content)})
            return response
    raise AssertionError(f"{method} {path} is not documented.")


@functools.cache
def _operations() -> list[tuple[re.Pattern[str], Any]]:
    """Fixed paths before those with ids."""
    found = [
        (re.compile(re.sub(r"{\w+}", "[^/]+", path)), operation)
        for _, router in api._routers
        for path, view in router.path_operations.items()
        for operation in view.operations
    ]
    return sorted(found, key=lambda pair: "[^/]+" in pair[0].pattern)


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
