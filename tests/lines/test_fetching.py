"""Files at a provider's own address, which may send us on to a store."""

import socket
from typing import Any

import pytest

from lines.fetching import FetchFailed, fetch_media
from lines.models import ProviderAccount
from tests import make
from tests.core import receivers
from tests.core.sockets import connections

pytestmark = pytest.mark.django_db


def redirecting(to: str) -> Any:
    head = f"HTTP/1.1 307 Go\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
    return receivers.raw(receivers.answering(head.encode()))


def account(url: str) -> ProviderAccount:
    return make.make_account("hosted", base_url=url)


def test_a_store_is_called_through_the_guard_and_without_credentials(settings: Any) -> None:
    settings.INTERNAL_HOSTS = ["127.0.0.0/8"]
    asked: list[bytes] = []

    def keep(connection: socket.socket, receiver: receivers.Receiver) -> None:
        asked.append(connection.recv(65_536).lower())
        connection.sendall(receivers.OK)

    with receivers.raw(keep) as store, redirecting(store.url) as provider:
        content = fetch_media(account(provider.url), f"{provider.url}/v1/media/a", most_bytes=100)
    assert content == b"ok"
    assert [b"authorization" in request for request in asked] == [False]


def test_a_file_that_has_not_come_to_the_provider_yet_is_asked_for_again() -> None:
    def refuse(connection: socket.socket, receiver: receivers.Receiver) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with receivers.raw(refuse) as provider, pytest.raises(FetchFailed) as failed:
        fetch_media(account(provider.url), f"{provider.url}/v1/media/a", most_bytes=100)
    assert failed.value.again


def test_a_store_inside_is_not_reached() -> None:
    with redirecting("http://169.254.169.254/") as provider, connections() as seen:
        with pytest.raises(FetchFailed):
            fetch_media(account(provider.url), f"{provider.url}/v1/media/a", most_bytes=100)
    assert seen == [("127.0.0.1", provider.port)]
