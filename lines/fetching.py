"""Fetching the files that humans sent, from wherever their provider keeps them, up to a size and within a time."""

import time

import httpx

from core import http
from lines.models import ProviderAccount
from lines.providers import driver_of, opened
from lines.providers.base import MediaRequest

# Seconds for a whole file (contract/lines.md 2.2, `fetch_media`).
_DEADLINE = 60.0


class FetchFailed(Exception):
    """The file could not be fetched; `again` says whether trying again may help."""

    def __init__(self, problem: str, *, again: bool) -> None:
        self.again = again
        super().__init__(problem)


def fetch_media(account: ProviderAccount, url: str, *, most_bytes: int) -> bytes:
    """The file at a provider's link; raises `FetchFailed`. Outside any transaction.

    The provider's own address is an operator's setting and is called with its credentials; any other address goes
    through the guard for outbound calls, like a tenant's.
    """
    request = driver_of(account).media_request(opened(account), url=url)
    if request is not None:
        return _from_provider(request, most_bytes)
    return fetch_anywhere(url, most_bytes)


def _from_provider(request: MediaRequest, most_bytes: int) -> bytes:
    # No compression: its size after unpacking would be anybody's guess.
    headers = {**request.headers, "Accept-Encoding": "identity"}
    ends, body = time.monotonic() + _DEADLINE, bytearray()
    try:
        with (
            httpx.Client(trust_env=False, follow_redirects=False, timeout=10) as client,
            client.stream("GET", request.url, headers=headers) as response,
        ):
            if response.has_redirect_location:
                # A store of the provider's: any address may stand there, and the credentials stay here.
                return fetch_anywhere(str(response.url.join(response.headers["location"])), most_bytes)
            if response.status_code == 404:
                # It spoke of the file, so it may be on its way: a Mac tells of a text before its files have come.
                raise FetchFailed("The provider does not have the file yet.", again=True)
            _check_status(response.status_code)
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > most_bytes:
                    raise FetchFailed("The file is too large.", again=False)
                if time.monotonic() > ends:
                    raise FetchFailed("The file took too long.", again=True)
    except httpx.HTTPError as failed:
        raise FetchFailed(f"The provider did not give the file: {type(failed).__name__}.", again=True) from failed
    return bytes(body)


def fetch_anywhere(url: str, most_bytes: int) -> bytes:
    """The file at a stranger's address, through the guard for outbound calls; raises `FetchFailed`."""
    try:
        response = http.fetch("GET", url, deadline=_DEADLINE, most_bytes=most_bytes)
    except http.OutboundRefused as refused:
        raise FetchFailed(refused.message, again=False) from refused
    except http.OutboundFailed as failed:
        raise FetchFailed(f"The file could not be fetched: {failed.kind}.", again=True) from failed
    _check_status(response.status)
    if response.truncated:
        raise FetchFailed("The file is too large.", again=False)
    return response.body


def _check_status(status: int) -> None:
    if status != 200:
        raise FetchFailed(f"The provider answered {status}.", again=status >= 500 or status in {408, 425, 429})
