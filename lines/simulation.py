"""The other side of the simulated phone network: its control API, where a test or a newcomer is the human.

Only the `phone` command, the phone page and set-up use it; the product itself speaks through the driver.
"""

import functools
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx
from django.conf import settings

from core.errors import DomainError


class SimulatorRefused(DomainError):
    """The simulated phone network refused."""


class SimulatorAway(DomainError):
    """The simulated phone network does not answer; start it with bin/run."""

    status = 503


def add_line(number: str, *, kind: str, service: str = "imessage") -> None:
    """Have the network own a line, with iMessage or with SMS alone; repeating it changes nothing."""
    _call("PUT", f"/control/lines/{quote(number)}", json={"kind": kind, "service": service})


def add_file(content: bytes, *, content_type: str) -> str:
    """Put a file on the network, to be sent with a human's text; its URL."""
    headers = {"Content-Type": content_type}
    return str(_call("POST", "/control/media", content=content, headers=headers, timeout=60)["url"])


def text(
    human: str,
    *,
    to: str,
    text: str,
    media: list[str] | None = None,
    reply_to: str | None = None,
    part: int = 0,
    effect: str | None = None,
) -> dict[str, Any]:
    """The human texts a line or a group, answering a bubble (`last` or its id) if named; the bubble as it stands."""
    target = {"id": reply_to, "part": part} if reply_to else None
    body = {"to": to, "text": text, "media": media or [], "reply_to": target, "effect": effect}
    return _call("POST", f"/control/handsets/{quote(human)}/texts", json=body)


def open_group(human: str, *, line: str, members: list[str], name: str) -> dict[str, Any]:
    """The human makes a group with others and a line."""
    body = {"line": line, "members": members, "name": name}
    return _call("POST", f"/control/handsets/{quote(human)}/groups", json=body)


def change_group(
    human: str, key: str, *, add: Sequence[str] = (), remove: Sequence[str] = (), name: str | None = None
) -> dict[str, Any]:
    """The human adds and removes members (themselves: leaving), or names the group."""
    body = {"add": list(add), "remove": list(remove), "name": name}
    return _call("PATCH", f"/control/handsets/{quote(human)}/groups/{quote(key, safe='')}", json=body)


def groups(human: str) -> list[dict[str, Any]]:
    """The groups that the human is in, the oldest first: key, line, members and name of each."""
    return next((list(phone["groups"]) for phone in handsets() if phone["number"] == human), [])


def tapback(
    human: str,
    *,
    bubble: str,
    kind: str,
    emoji: str | None = None,
    part: int = 0,
    remove: bool = False,
    with_: str | None = None,
) -> dict[str, Any]:
    """The human reacts to a bubble (`last` or its id)."""
    body = {"bubble": bubble, "kind": kind, "emoji": emoji, "part": part, "remove": remove, "with": with_}
    return _call("POST", f"/control/handsets/{quote(human)}/tapbacks", json=body)


def read(human: str, *, with_: str | None = None) -> dict[str, Any]:
    """The human opens and reads a thread, or all of them."""
    return _call("POST", f"/control/handsets/{quote(human)}/reads", json={"with": with_})


def typing(human: str, *, with_: str, on: bool) -> dict[str, Any]:
    """The human begins or stops typing to a line."""
    return _call("POST", f"/control/handsets/{quote(human)}/typing", json={"with": with_, "on": on})


def set_service(human: str, *, service: str) -> dict[str, Any]:
    """The handset has iMessage, only SMS, or is switched off."""
    return _call("PUT", f"/control/handsets/{quote(human)}/service", json={"service": service})


def handsets() -> list[dict[str, Any]]:
    """Every phone that was ever used, with the lines it has threads with and what it has not read."""
    phones: list[dict[str, Any]] = _call("GET", "/control/handsets")["handsets"]
    return phones


def inbox(human: str, *, with_: str | None = None) -> list[dict[str, Any]]:
    """Every bubble on the handset, oldest first."""
    params = {"with": with_} if with_ else {}
    bubbles: list[dict[str, Any]] = _call("GET", f"/control/handsets/{quote(human)}/inbox", params=params)["bubbles"]
    return bubbles


def background(human: str, *, with_: str) -> dict[str, Any] | None:
    """The picture behind a thread, if there is one: the id of its file and what it is."""
    params = {"with": with_, "limit": 1}
    shown: dict[str, Any] | None = _call("GET", f"/control/handsets/{quote(human)}/inbox", params=params)["background"]
    return shown


def file(file_id: str) -> tuple[bytes, str]:
    """A file of the network's shelf, and its type."""
    response = _answer("GET", f"/control/media/{quote(file_id, safe='')}")
    return response.content, response.headers["Content-Type"]


def wait(human: str, *, after: int | None, seconds: float) -> dict[str, Any]:
    """What reaches the handset after a cursor, as soon as there is something, or nothing after the time."""
    params = {"seconds": seconds} | ({"after": after} if after is not None else {})
    return _call("GET", f"/control/handsets/{quote(human)}/wait", params=params, timeout=seconds + 10)


def _call(method: str, path: str, **request: Any) -> dict[str, Any]:
    response = _answer(method, path, **request)
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer


def _answer(
    method: str, path: str, *, timeout: float = 10, headers: dict[str, str] | None = None, **request: Any
) -> httpx.Response:
    if not settings.SIMULATOR_URL:
        raise SimulatorAway("No simulated phone network is set up for this data folder; start it with bin/run.")
    try:
        response = _client().request(
            method,
            settings.SIMULATOR_URL + path,
            headers={"Authorization": f"Bearer {settings.SIMULATOR_CONTROL_TOKEN}", **(headers or {})},
            timeout=timeout,
            **request,
        )
    except httpx.TransportError as away:
        raise SimulatorAway() from away
    if not response.is_success:
        raise SimulatorRefused(response.json()["error"]["message"])
    return response


@functools.cache
def _client() -> httpx.Client:
    return httpx.Client(trust_env=False)
