"""Files with script in them, opened and embedded in a real browser by somebody who is signed in: nothing runs."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Error

from tests.installation import Installation

PNG = b"\x89PNG\r\n\x1a\n"
_EMBEDS = (
    "<iframe src='{0}'></iframe><object data='{0}'></object><embed src='{0}'><img src='{0}'><script src='{0}'></script>"
)


class Canary:
    """A server on another port: `/` is a page, and `/ran...` is only ever asked for by a script that runs."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.page = ""
        canary = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/ran"):
                    canary.ran.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()
                self.wfile.write(canary.page.encode())

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def script(self, name: str) -> str:
        return f"new Image().src='{self.url}/ran/{name}'"

    def files(self) -> dict[str, bytes]:
        """Hostile files by name; each would ask for `/ran/<name>`."""
        page = "<html><body><script>{}</script></body></html>"
        svg = "<svg xmlns='http://www.w3.org/2000/svg' onload=\"{0}\"><script>{0}</script></svg>"
        return {
            "svg": svg.format(self.script("svg")).encode(),
            "xml-svg": ("<?xml version='1.0'?>" + svg.format(self.script("xml-svg"))).encode(),
            "html": page.format(self.script("html")).encode(),
            "text": ("hello " + page.format(self.script("text"))).encode(),
            "gif-script": b"GIF89a=1;" + self.script("gif-script").encode(),
            "png-html": PNG + page.format(self.script("png-html")).encode(),
            "jpeg-html": b"\xff\xd8\xff" + page.format(self.script("jpeg-html")).encode(),
            "pdf-html": b"%PDF-1.7\n" + page.format(self.script("pdf-html")).encode(),
            "script": self.script("script").encode(),
        }


@pytest.fixture
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.server.shutdown()
    canary.server.server_close()


def upload(product: Installation, key: str, content: bytes) -> str:
    """The link of a new file that calls itself a picture."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="cat.png"\r\nContent-Type: image/png\r\n\r\n'
    connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=30)
    headers = {"X-API-Key": key, "Content-Type": "multipart/form-data; boundary=b"}
    connection.request("POST", "/api/v1/imessage/media", head + content + b"\r\n--b--\r\n", headers)
    response = connection.getresponse()
    assert response.status == 201
    return str(json.loads(response.read())["media_url"])


def test_nothing_in_a_file_ever_runs(chromium: Browser, product: Installation, session: Any, canary: Canary) -> None:
    key = product.create_key(label="media")
    links = {name: upload(product, key, content) for name, content in canary.files().items()}
    context = chromium.new_context(storage_state=session)
    page = context.new_page()
    for name, link in links.items():
        try:
            page.goto(link)
        except Error as aborted:
            assert "download" in str(aborted).lower() or "ERR_ABORTED" in str(aborted), name  # noqa: PT017
        canary.page = _EMBEDS.format(link)
        page.goto(f"{canary.url}/embeds/{name}")
        page.wait_for_timeout(300)
    assert canary.ran == []
    canary.page = f"<script>{canary.script('control')}</script>"
    page.goto(canary.url)
    page.wait_for_timeout(300)
    assert canary.ran == ["/ran/control"]
    context.close()
