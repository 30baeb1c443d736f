"""The one door for calls to tenants' addresses: nothing inward is connected to, nothing lasts, nothing is too big."""

import datetime
import gzip
import ipaddress
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core import http
from core.http import UNREACHABLE, OutboundFailed, OutboundRefused, fetch
from tests.core import receivers
from tests.core.sockets import connections


@pytest.fixture
def inside(settings: Any) -> None:
    """The operator allows loopback."""
    settings.INTERNAL_HOSTS = ["127.0.0.0/8"]


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name leads to these addresses; the names that were asked for."""
    asked: list[str] = []

    def look_up(host: str) -> list[str]:
        asked.append(host)
        return list(addresses)

    monkeypatch.setattr(http, "_look_up", look_up)
    return asked


INWARD = str.split(
    "127.0.0.1 10.0.0.1 169.254.169.254 100.64.0.1 224.0.0.1 ::1 ::ffff:127.0.0.1 "
    "64:ff9b::7f00:1 fe80::1 fec0::1 2002:7f00:1::"
)


@pytest.mark.parametrize("address", INWARD)
def test_a_name_that_leads_inward_is_not_connected_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, address)
    with connections() as seen, pytest.raises(OutboundRefused, match=UNREACHABLE):
        fetch("POST", "https://rebound.example.com/hook", body=b"x")
    assert seen == []


def test_a_listener_inside_is_not_reached_by_any_spelling() -> None:
    with receivers.raw(receivers.answering(receivers.OK)) as receiver, connections() as seen:
        for host in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "localhost", "[::1]"):
            for scheme in ("http", "https"):
                with pytest.raises(OutboundRefused):
                    fetch("POST", f"{scheme}://{host}:{receiver.port}/")
        assert receiver.connections == 0
    assert seen == []


def test_a_name_is_looked_up_once_and_called_at_allowed_addresses_alone(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.INTERNAL_HOSTS = ["127.0.0.1"]
    settings.OUTBOUND_PORTS = [443]
    asked = resolving_to(monkeypatch, "10.0.0.1", "127.0.0.1")
    with connections() as seen, pytest.raises(OutboundFailed):
        fetch("GET", "https://mixed.example.com/", deadline=3)
    assert seen == [("127.0.0.1", 443)]
    assert asked == ["mixed.example.com"]


def test_an_unknown_name_and_an_inward_one_sound_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(http, "_look_up", unknown)
    with pytest.raises(OutboundFailed) as failed:
        fetch("GET", "https://unknown.example.com/")
    assert failed.value.detail == UNREACHABLE


def test_a_slow_look_up_counts_against_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_look_up", lambda host: time.sleep(2) or [])
    assert _fails(lambda: fetch("GET", "https://slow.example.com/", deadline=0.3), "timeout") < 1


@pytest.mark.usefixtures("inside")
class TestAnswers:
    def test_an_answer_comes_with_status_headers_body_and_duration(self) -> None:
        with receivers.raw(receivers.answering(b"HTTP/1.1 201 Made\r\nX-Y: z\r\nContent-Length: 2\r\n\r\nok")) as there:
            answer = fetch("POST", there.url, body=b"{}")
        assert (answer.status, answer.headers["x-y"], answer.body, answer.truncated) == (201, "z", b"ok", False)
        assert 0 <= answer.duration_ms < 2000

    def test_the_request_is_as_it_should_be(self) -> None:
        requests = []

        def note(request: Any, body: bytes) -> int:
            requests.append((request.command, request.path, dict(request.headers), body))
            return 200

        with receivers.web(note) as there:
            fetch("POST", there.url + "?a=b", headers={"X-One": "1", "Content-Type": "application/json"}, body=b"{}")
        assert requests == [
            (
                "POST",
                "/hook?a=b",
                {
                    "Host": f"127.0.0.1:{there.port}",
                    "User-Agent": "Cordboard/1",
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",
                    "Connection": "close",
                    "Content-Length": "2",
                    "X-One": "1",
                    "Content-Type": "application/json",
                },
                b"{}",
            )
        ]

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects_are_answers_and_are_not_followed(self, status: int) -> None:
        data = f"HTTP/1.1 {status} Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
        with receivers.raw(receivers.answering(data.encode())) as there, connections() as seen:
            assert fetch("GET", there.url).status == status
        assert seen == [("127.0.0.1", there.port)]

    def test_a_followed_redirect_goes_through_the_same_door(self) -> None:
        data = b"HTTP/1.1 302 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
        with receivers.raw(receivers.answering(data)) as there, connections() as seen:
            with pytest.raises(OutboundRefused):
                fetch("GET", there.url, follow=3)
        assert seen == [("127.0.0.1", there.port)]

    def test_proxies_of_the_environment_are_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        with receivers.raw(receivers.answering(receivers.OK)) as there:
            assert fetch("GET", there.url).status == 200

    def test_a_gigabyte_is_read_no_further_than_asked_for(self) -> None:
        with receivers.raw(receivers.flood) as there:
            answer = fetch("GET", there.url)
        assert (len(answer.body), answer.truncated) == (65_536, True)
        assert answer.duration_ms < 2000

    def test_a_body_as_long_as_allowed_is_whole(self) -> None:
        body = b"x" * 65_536
        with receivers.raw(receivers.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + body)) as there:
            answer = fetch("GET", there.url)
        assert (answer.body, answer.truncated) == (body, False)

    def test_nothing_is_decompressed(self) -> None:
        bomb = gzip.compress(b"0" * 10_000_000)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
        with receivers.raw(receivers.answering(head + bomb)) as there:
            assert fetch("GET", there.url).body == bomb

    def test_chunks_without_end_are_cut_off(self) -> None:
        def chunks(connection: socket.socket, receiver: receivers.Receiver) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not receiver.ended.is_set():
                connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")

        with receivers.raw(chunks) as there:
            assert fetch("GET", there.url).truncated

    @pytest.mark.parametrize("receiver", [receivers.hang, receivers.drip])
    def test_the_deadline_is_over_all_and_not_for_each_byte(self, receiver: Any) -> None:
        with receivers.raw(receiver) as there:
            assert _fails(lambda: fetch("GET", there.url, deadline=0.5), "timeout") < 1

    def test_headers_without_end_are_refused(self) -> None:
        def headers(connection: socket.socket, receiver: receivers.Receiver) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not receiver.ended.is_set():
                connection.sendall(b"X-Again: " + b"y" * 1000 + b"\r\n")

        with receivers.raw(headers) as there:
            _fails(lambda: fetch("GET", there.url), "protocol")

    def test_interim_answers_without_end_are_refused(self) -> None:
        with receivers.raw(receivers.answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)) as there:
            _fails(lambda: fetch("GET", there.url), "protocol")

    @pytest.mark.parametrize(
        "data", [b"HTTP/0.9 hello\r\n\r\n", b"<html>old</html>", b"\x00" * 100, b"HTTP/1.1 banana\r\n\r\n"]
    )
    def test_what_is_not_http_is_refused(self, data: bytes) -> None:
        with receivers.raw(receivers.answering(data)) as there:
            _fails(lambda: fetch("GET", there.url), "protocol")

    @pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
    def test_a_connection_closed_early_is_a_failure(self, data: bytes) -> None:
        with receivers.raw(receivers.answering(data)) as there, pytest.raises(OutboundFailed) as failed:
            fetch("GET", there.url)
        assert failed.value.kind in {"closed", "protocol"}

    def test_a_port_that_nobody_listens_on_is_a_failure(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        _fails(lambda: fetch("GET", f"http://127.0.0.1:{port}/"), "connect")

    def test_a_header_with_a_line_break_never_leaves(self) -> None:
        with receivers.raw(receivers.answering(receivers.OK)) as there:
            _fails(lambda: fetch("GET", there.url, headers={"X-Bad": "a\r\nHost: b"}), "protocol")

    def test_a_stalled_tls_handshake_ends_with_the_deadline(self) -> None:
        with receivers.raw(receivers.hang) as there:
            url = there.url.replace("http:", "https:")
            assert _fails(lambda: fetch("GET", url, deadline=0.5), "timeout") < 1

    @pytest.mark.parametrize(
        ("name", "days", "trusted", "kind"),
        [
            ("127.0.0.1", 1, True, None),
            ("127.0.0.1", 1, False, "tls"),
            ("127.0.0.2", 1, True, "tls"),
            ("127.0.0.1", -1, True, "tls"),
        ],
        ids=["valid", "unknown authority", "another host", "expired"],
    )
    def test_certificates_are_checked(
        self, name: str, days: int, trusted: bool, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        certificate = _certificate(tmp_path, name, days)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        http._tls.cache_clear()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

        def serve(connection: socket.socket, receiver: receivers.Receiver) -> None:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                wrapped.recv(65_536)
                wrapped.sendall(receivers.OK)

        try:
            with receivers.raw(serve) as there:
                url = there.url.replace("http:", "https:")
                if kind:
                    _fails(lambda: fetch("GET", url), kind)
                else:
                    assert fetch("GET", url).body == b"ok"
        finally:
            http._tls.cache_clear()


def _fails(call: Any, kind: str) -> float:
    began = time.monotonic()
    with pytest.raises(OutboundFailed) as failed:
        call()
    assert failed.value.kind == kind, failed.value.detail
    return time.monotonic() - began


def _certificate(folder: Path, address: str, days: int) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "receiver.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
