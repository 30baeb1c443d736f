"""Calls to Linq over their own client library, its retries off, and what its refusals mean."""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import linq

from lines.providers.base import Account, ErrorClass, ProviderCallFailed, ProviderError, Scope
from lines.providers.linq.words import mapping

_RETRY_AFTER = 60.0
_PERMANENT_HUMAN = {2024: "opted_out", 2026: "blocked"}
_COUNTING = {4001, 4002, 4006, 4007, 4008}
_RCS_SIDE = {4004, 4009, 4010}


@contextmanager
def calling(account: Account, *, deadline: float) -> Iterator[linq.LinqAPIV3]:
    """Their client for one call, whose failure is told in our words. An outcome that nobody knows is None."""
    client = linq.LinqAPIV3(
        api_key=account.token,
        webhook_secret="",
        base_url=account.base_url,
        timeout=deadline,
        max_retries=0,
        http_client=_http(),
    )
    try:
        yield client
    except linq.APIStatusError as refused:
        raise ProviderCallFailed(_error_of(refused)) from refused
    except linq.APIConnectionError as lost:
        if isinstance(lost.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            raise ProviderCallFailed(_unreachable()) from lost
        raise ProviderCallFailed(None) from lost


@functools.cache
def _http() -> httpx.Client:
    """One for all threads: no proxies from the environment, no redirects."""
    return httpx.Client(trust_env=False, follow_redirects=False)


def object_of(answer: Any) -> dict[str, Any]:
    """The JSON object of an answer; empty when it is none."""
    try:
        return mapping(json.loads(answer.read()))
    except ValueError:
        return {}


def _error_of(refused: linq.APIStatusError) -> ProviderError | None:
    """Their error in our words; None when a failing server does not say what it did."""
    body = mapping(refused.body)
    code = body.get("code")
    text = str(body.get("message") or "")[:500]
    wait = _seconds(body.get("retry_after")) or _seconds(refused.response.headers.get("retry-after"))
    if refused.status_code == 401:
        return ProviderError(ErrorClass.LINE_DOWN, str(code or "http_401"), text, scope=Scope.ACCOUNT)
    if refused.status_code == 429:
        return ProviderError(ErrorClass.HELD, str(code or "http_429"), text, retry_after=wait or _RETRY_AFTER)
    if isinstance(code, int):
        return error_of_code(code, text, retry_after=wait)
    if refused.status_code == 503:
        return ProviderError(ErrorClass.RETRYABLE, "http_503", text, retry_after=wait)
    if refused.status_code >= 500:
        return None
    return ProviderError(ErrorClass.PERMANENT, f"http_{refused.status_code}", text)


def error_of_code(code: int, text: str, *, retry_after: float | None = None) -> ProviderError:
    """What one of Linq's error codes means for us: contract/lines.md 4.3."""

    def told(error_class: ErrorClass, scope: Scope = Scope.MESSAGE, **more: Any) -> ProviderError:
        return ProviderError(error_class, str(code), text, scope=scope, **more)

    if code == 1007:
        return told(ErrorClass.HELD, retry_after=retry_after or _RETRY_AFTER)
    if code in {2004, 2005}:
        return told(ErrorClass.LINE_DOWN, Scope.ACCOUNT)
    if code == 2008:
        return told(ErrorClass.HELD, Scope.HUMAN, until_inbound=True)
    if code in {2015, 2027}:
        return told(ErrorClass.LINE_DOWN, Scope.LINE)
    if code in _PERMANENT_HUMAN:
        return told(ErrorClass.PERMANENT, Scope.HUMAN, reason=_PERMANENT_HUMAN[code])
    if code == 3007:
        return told(ErrorClass.UNKNOWN)
    if 3000 <= code < 4000 or code in _RCS_SIDE:
        return told(ErrorClass.RETRYABLE, retry_after=retry_after)
    if code == 4005:
        return told(ErrorClass.RECIPIENT_UNREACHABLE, Scope.HUMAN)
    return told(ErrorClass.PERMANENT, counts_against_line=code in _COUNTING)


def _unreachable() -> ProviderError:
    return ProviderError(ErrorClass.LINE_DOWN, "unreachable", "The provider cannot be reached.", scope=Scope.ACCOUNT)


def is_gone(error: ProviderError | None) -> bool:
    """Whether the chat or message is not there any more."""
    return error is not None and error.code in {"2001", "2002", "2003", "http_404"}


def _seconds(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
