"""The other side of the simulated phone network: its control API, where a test or a newcomer is the human.

Only the `phone` command, the phone page and set-up use it; the product itself speaks through the driver.
"""

import functools
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


def add_line(number: str, *, kind: str) -> None:
    """Have the network own a line; repeating it changes nothing."""
    _call("PUT", f"/control/lines/{quote(number)}", json={"kind": kind})


def add_file(content: bytes, *, content_type: str) -> str:
    """Put a file on the network, to be sent with a human's text; its URL."""
    headers = {"Content-Type": content_type}
    return str(_call("POST", "/control/media", content=content, headers=headers, timeout=60)["url"])


def text(human: str, *, to: str, text: str, media: list[str] | None = None) -> dict[str, Any]:
    """The human texts a line; the bubble as it stands in their thread."""
    return _call("POST", f"/control/handsets/{quote(human)}/texts", json={"to": to, "text": text, "media": media or []})


def tapback(
    human: str, *, bubble: str, kind: str, emoji: str | None = None, remove: bool = False, with_: str | None = None
) -> dict[str, Any]:
    """The human reacts to a bubble (`last` or its id)."""
    body = {"bubble": bubble, "kind": kind, "emoji": emoji, "remove": remove, "with": with_}
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


def wait(human: str, *, after: int | None, seconds: float) -> dict[str, Any]:
    """What reaches the handset after a cursor, as soon as there is something, or nothing after the time."""
    params = {"seconds": seconds} | ({"after": after} if after is not None else {})
    return _call("GET", f"/control/handsets/{quote(human)}/wait", params=params, timeout=seconds + 10)


def _call(
    method: str, path: str, *, timeout: float = 10, headers: dict[str, str] | None = None, **request: Any
) -> dict[str, Any]:
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
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer


@functools.cache
def _client() -> httpx.Client:
    return httpx.Client(trust_env=False)
