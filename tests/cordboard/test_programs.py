"""The short way: which requests take it, and that they are answered as by the long one."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.test import Client
from django.utils.module_loading import import_string

from cordboard.programs import LARGEST_BODY, Programs

BODY = b'{"text": "hello"}'


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    with ThreadPoolExecutor(1) as threads:
        yield Programs(threads)


@pytest.mark.parametrize(
    ("path", "headers", "taken"),
    [
        ("/api/v1/imessage/messages", {}, True),
        ("/api/v1/imessage/messages", {"content-length": str(LARGEST_BODY)}, True),
        ("/api/v1/imessage/media", {"content-length": str(LARGEST_BODY + 1)}, False),
        ("/api/v1/imessage/media", {"transfer-encoding": "chunked"}, False),
        ("/callbacks/018f3c5e-0000-7000-8000-000000000000", {"content-length": "2"}, True),
        ("/api/v1/docs", {}, False),
        ("/v1/messages", {}, True),
        ("/v1/docs", {}, False),
        ("/console/", {}, False),
        ("/accounts/login/", {"content-length": "2"}, False),
        ("/media/018f3c5e", {}, False),
        ("/readyz", {}, False),
    ],
)
def test_only_small_requests_of_programs_are_taken(
    programs: Programs, path: str, headers: dict[str, str], taken: bool
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert programs.takes({"path": path, "headers": raw}) is taken


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/nowhere"),
        ("GET", "/api/v1/imessage/messages"),
        ("POST", "/api/v1/imessage/messages"),
        ("DELETE", "/api/v1/imessage/messages"),
        ("GET", "/api/v1/openapi.json"),
        ("GET", "/v1/nowhere"),
        ("POST", "/v1/messages"),
        ("DELETE", "/v1/messages"),
        ("GET", "/callbacks/018f3c5e-0000-7000-8000-000000000000"),
    ],
)
def test_the_answer_is_that_of_the_long_way(programs: Programs, client: Client, method: str, path: str) -> None:
    body = BODY if method == "POST" else b""
    short = asked(programs, method, path, body)
    long = client.generic(method, path, body, content_type="application/json")
    assert (short.status_code, short.content) == (long.status_code, long.content)
    for name in ("content-type", "content-length", "x-content-type-options", "allow"):
        assert short.headers.get(name) == long.headers.get(name)


def test_a_host_that_is_not_ours_is_refused(programs: Programs) -> None:
    assert asked(programs, "GET", "/api/v1/openapi.json", host="evil.example").status_code == 400


def test_a_client_that_leaves_in_the_middle_of_its_body_is_let_go(programs: Programs) -> None:
    messages = iter([{"type": "http.request", "body": BODY, "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(programs({"type": "http", "path": "/api/v1/x", "headers": []}, receive, send))
    assert sent == []


@pytest.mark.parametrize("path", settings.PROGRAM_MIDDLEWARE)
def test_its_middlewares_look_at_nothing_but_requests_and_answers(path: str) -> None:
    middleware = import_string(path)
    assert not {"process_view", "process_exception", "process_template_response"} & set(dir(middleware))


def asked(programs: Programs, method: str, path: str, body: bytes = b"", host: str = "testserver") -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(programs), base_url=f"http://{host}") as client:
            return await client.request(method, path, content=body, headers={"Content-Type": "application/json"})

    return asyncio.run(ask())
