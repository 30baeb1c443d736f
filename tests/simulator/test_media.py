"""Files: a human's are kept for the provider's API, an agent's are fetched and measured."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.simulator.running import Network, Receiver, eventually

PHOTO = b"\xff\xd8\xff" + b"photo" * 300_000
SHA256 = hashlib.sha256(PHOTO).hexdigest()


def put(network: Network, content: bytes = PHOTO, content_type: str = "image/jpeg") -> httpx.Response:
    headers = {"Authorization": "Bearer control-token", "Content-Type": content_type}
    return network.http.post("/control/media", content=content, headers=headers)


@pytest.fixture
def agents_file() -> Iterator[str]:
    """A URL that answers with the photo."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/photo" else 404)
            self.send_header("Content-Type", "image/jpeg")
            self.end_headers()
            self.wfile.write(PHOTO)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/photo"
    server.shutdown()
    server.server_close()


def test_a_humans_photo_is_told_and_can_be_fetched_with_the_providers_token(
    network: Network, receiver: Receiver
) -> None:
    answer = put(network)
    assert answer.status_code == 201
    facts = answer.json()
    assert (facts["size"], facts["sha256"]) == (len(PHOTO), SHA256)
    network.text_in("look", media=[facts["url"]])
    eventually(lambda: receiver.taken)
    told = receiver.taken[0]["data"]["media"]
    assert told == [{"url": facts["url"], "content_type": "image/jpeg", "size": len(PHOTO)}]
    assert httpx.get(facts["url"], trust_env=False).status_code == 401
    fetched = httpx.get(facts["url"], headers={"Authorization": "Bearer provider-token"}, trust_env=False)
    assert (fetched.headers["content-type"], fetched.content) == ("image/jpeg", PHOTO)


def test_files_survive_a_kill(network: Network) -> None:
    file_id = put(network).json()["id"]
    network.kill()
    network.start()
    assert network.v1("GET", f"/media/{file_id}").content == PHOTO


def test_odd_files_are_refused(network: Network) -> None:
    assert put(network, b"").status_code == 422
    assert network.v1("GET", "/media/med_unknown").status_code == 404
    assert network.v1("GET", "/media/..%2Fjournal.jsonl").status_code == 404


def test_an_agents_photo_arrives_whole(network: Network, agents_file: str) -> None:
    network.send("look", media=[agents_file])
    eventually(lambda: "sha256" in network.inbox()[0]["media"][0])
    shown = [{"url": agents_file, "content_type": "image/jpeg", "size": len(PHOTO), "sha256": SHA256}]
    assert network.inbox()[0]["media"] == shown
    network.kill()
    network.start()
    assert network.inbox()[0]["media"] == shown


def test_what_cannot_be_fetched_is_noted(network: Network, agents_file: str) -> None:
    network.send("look", media=[f"{agents_file}-is-not-there", "http://127.0.0.1:9/closed"])
    eventually(lambda: len(network.journal("media_missed")) == 2)
    assert [medium["size"] for medium in network.inbox()[0]["media"]] == [None, None]
