"""The one door for calls to addresses that tenants name: guarded, bounded in time and size, without redirects.

Providers' base URLs are the operator's own settings and do not come through here (architecture.md, section 10).
"""

import asyncio
import functools
import socket
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urljoin

import h11
import httpx

from core.addresses import UNREACHABLE, Address, OutboundRefused, Target, as_address, may_connect, target_of

__all__ = ["UNREACHABLE", "OutboundFailed", "OutboundRefused", "Response", "check_url", "fetch", "fetch_async"]

DEADLINE = 15.0  # seconds, for everything from the name's look-up to the last byte
MOST_BYTES = 65_536
MOST_HEADER_BYTES = 32_768
MOST_INTERIM_ANSWERS = 8
MOST_ADDRESSES = 4
USER_AGENT = "Cordboard/1"

_REDIRECTS = {301, 302, 303, 307, 308}

# A look-up cannot be broken off, so slow ones must not use up the threads of others.
_resolvers = ThreadPoolExecutor(64, thread_name_prefix="resolve")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: `headers` by lower-case name, the body as it came and no further than asked for (`truncated`)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    duration_ms: int
    truncated: bool


class OutboundFailed(Exception):
    """No usable answer came. `kind` is one of dns, connect, tls, timeout, protocol, closed; `detail` a sentence.

    For addresses that may not be called it never tells more than `UNREACHABLE`.
    """

    def __init__(self, kind: str, detail: str, *, duration_ms: int = 0) -> None:
        self.kind = kind
        self.detail = detail
        self.duration_ms = duration_ms
        super().__init__(detail)


def check_url(url: str) -> str:
    """`url` itself when calling it is allowed as far as its text tells, else raise `OutboundRefused` (422).

    Nothing is looked up: where a name leads is judged at every call.
    """
    target_of(url)
    return url


def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    deadline: float = DEADLINE,
    most_bytes: int = MOST_BYTES,
    follow: int = 0,
) -> Response:
    """Call `url` from a thread without an event loop; see `fetch_async`."""
    return asyncio.run(
        fetch_async(method, url, headers=headers, body=body, deadline=deadline, most_bytes=most_bytes, follow=follow)
    )


async def fetch_async(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    deadline: float = DEADLINE,
    most_bytes: int = MOST_BYTES,
    follow: int = 0,
) -> Response:
    """Call `url` and read at most `most_bytes` of the answer, all within `deadline` seconds.

    Up to `follow` redirects of a GET are followed, each through the same door and without `headers`. Nothing is
    decompressed and no proxy of the environment is used. Raises `OutboundRefused` before any connection is
    opened, `OutboundFailed` when no whole answer came.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(deadline):
            response = await _call(method, target_of(url), headers or {}, body, most_bytes)
            while follow and method == "GET" and response.status in _REDIRECTS and "location" in response.headers:
                follow, url = follow - 1, urljoin(url, response.headers["location"])
                response = await _call(method, target_of(url), {}, b"", most_bytes)
    except TimeoutError as late:
        raise OutboundFailed(
            "timeout", f"There was no whole answer within {deadline:.0f} seconds.", duration_ms=_since(began)
        ) from late
    except OutboundFailed as failed:
        failed.duration_ms = _since(began)
        raise
    return Response(response.status, response.headers, response.body, _since(began), response.truncated)


async def _call(method: str, target: Target, headers: Mapping[str, str], body: bytes, most_bytes: int) -> Response:
    addresses = await _allowed_addresses(target)
    connected = await _connect(target, addresses)
    try:
        return await _exchange(connected, _request(method, target, headers, body), body, most_bytes)
    finally:
        connected[1].transport.abort()


async def _allowed_addresses(target: Target) -> list[Address]:
    """Where the name leads, looked up once and never again: only these are connected to.

    A name with forbidden addresses beside allowed ones is called at the allowed ones alone.
    """
    if target.literal is not None:
        found = [target.literal]
    else:
        try:
            answers = await asyncio.get_running_loop().run_in_executor(_resolvers, _look_up, target.host)
        except OSError as unknown:
            raise OutboundFailed("dns", UNREACHABLE) from unknown
        found = [address for text in answers if (address := as_address(text)) is not None]
    allowed = [address for address in found if may_connect(target, address)]
    if not allowed:
        raise OutboundRefused(UNREACHABLE)
    return allowed[:MOST_ADDRESSES]


def _look_up(host: str) -> list[str]:
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connect(target: Target, addresses: list[Address]) -> Connected:
    """A connection to the first address that answers, with TLS for the name of the URL."""
    for number, address in enumerate(addresses, 1):
        sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            # An address that swallows packets must leave time for the next one.
            async with asyncio.timeout(None if number == len(addresses) else DEADLINE / 4):
                await asyncio.get_running_loop().sock_connect(sock, (str(address), target.port))
                return await _opened(target, sock)
        except ssl.SSLError as refused:
            sock.close()
            raise OutboundFailed("tls", _tls_detail(refused)) from refused
        except (OSError, ConnectionError):
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise OutboundFailed("connect", UNREACHABLE)


async def _opened(target: Target, sock: socket.socket) -> Connected:
    if target.scheme == "http":
        return await asyncio.open_connection(sock=sock)
    return await asyncio.open_connection(sock=sock, ssl=_tls(), server_hostname=target.host)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Certificates of the public authorities, or of `SSL_CERT_FILE`; making one is dear, so once."""
    return httpx.create_ssl_context()


def _tls_detail(refused: ssl.SSLError) -> str:
    if isinstance(refused, ssl.SSLCertVerificationError):
        return f"The certificate is not valid: {refused.verify_message}"
    return "The TLS connection could not be set up."


def _request(method: str, target: Target, headers: Mapping[str, str], body: bytes) -> h11.Request:
    given = {name.lower() for name in headers}
    own = {
        "Host": target.authority,
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **({"Content-Length": str(len(body))} if body or method != "GET" else {}),
    }
    kept = [(name, value) for name, value in own.items() if name.lower() not in given]
    try:
        return h11.Request(method=method, target=target.path, headers=[*kept, *headers.items()])
    except h11.LocalProtocolError as bad:
        raise OutboundFailed("protocol", "The request cannot be written: a header is not valid.") from bad


async def _exchange(connected: Connected, request: h11.Request, body: bytes, most_bytes: int) -> Response:
    """Write the request and read its answer; a receiver may answer before it has read everything."""
    reader, writer = connected
    protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEADER_BYTES)
    try:
        head = protocol.send(request) or b""
        writer.write(head + (protocol.send(h11.Data(data=body)) or b"" if body else b""))
        writer.write(protocol.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return await _read(reader, protocol, most_bytes)
    except h11.RemoteProtocolError as bad:
        raise OutboundFailed("protocol", "The answer was not valid HTTP/1.1.") from bad
    except OSError as closed:
        raise OutboundFailed("closed", "The connection was closed before a whole answer came.") from closed


async def _read(reader: asyncio.StreamReader, protocol: h11.Connection, most_bytes: int) -> Response:
    head: h11.Response | None = None
    body = bytearray()
    interim = 0
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.InformationalResponse):
            interim += 1
            if interim > MOST_INTERIM_ANSWERS:
                raise h11.RemoteProtocolError("too many interim answers")
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > most_bytes:
                return _response(head, bytes(body[:most_bytes]), truncated=True)
        elif isinstance(event, h11.EndOfMessage):
            return _response(head, bytes(body), truncated=False)
        else:  # h11.ConnectionClosed: the other side hung up before an answer
            raise OSError("closed")


def _response(head: h11.Response | None, body: bytes, *, truncated: bool) -> Response:
    if head is None:
        raise h11.RemoteProtocolError("a body without a head")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
    return Response(head.status_code, headers, body, 0, truncated)


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
