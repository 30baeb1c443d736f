"""Clients with the cast's keys, and a stand-in for the line's provider."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import Identity
from imessage.models import Conversation
from lines.models import ProviderAccount
from tests import make


class Api:
    """An HTTP client with one key; paths are below `/api/v1`."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.client = Client(raise_request_exception=False, headers={"X-API-Key": key} if key else None)

    def get(self, path: str, **query: Any) -> HttpResponse:
        return self.client.get(f"/api/v1{path}", query)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> HttpResponse:
        return self.client.post(f"/api/v1{path}", body, content_type="application/json", headers=headers)

    def patch(self, path: str, body: Any) -> HttpResponse:
        return self.client.patch(f"/api/v1{path}", body, content_type="application/json")

    def delete(self, path: str) -> HttpResponse:
        return self.client.delete(f"/api/v1{path}")

    def send(self, body: Any, *, query: str = "", key: str | None = None) -> HttpResponse:
        return self.post(f"/imessage/messages{query}", body, {"Idempotency-Key": key} if key is not None else None)


class Provider:
    """Answers every call of a driver alike and remembers what was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.status = 200
        self.delay = 0.0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                provider.calls.append((self.path, json.loads(body)))
                time.sleep(provider.delay)
                self.send_response(provider.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def admin(admin_key: str) -> Api:
    return Api(admin_key)


@pytest.fixture
def agent(agent_key: str) -> Api:
    return Api(agent_key)


@pytest.fixture
def stranger(charlies_key: str) -> Api:
    return Api(charlies_key)


@pytest.fixture
def nobody(db: None) -> Api:
    return Api("")


@pytest.fixture
def open_conversation(conversation: Conversation) -> Conversation:
    """The human has written once: the agent may answer."""
    make.make_message(conversation, "hello")
    return conversation


@pytest.fixture
def colleague(identity: Identity) -> Identity:
    """Another agent of Alice's."""
    return make.make_identity(identity.organization, "colleague")


@pytest.fixture
def provider(db: None) -> Iterator[Provider]:
    provider = Provider()
    make.make_account()
    ProviderAccount.objects.update(base_url=provider.url)
    yield provider
    provider.server.shutdown()
    provider.server.server_close()
