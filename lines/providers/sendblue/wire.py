"""Calls to Sendblue over its own library, the retries off, and what its refusals mean."""

import functools
from collections.abc import Callable
from typing import Any

import httpx
from sendblue_api import APIConnectionError, APIStatusError, SendblueAPI

from lines.answers import object_of
from lines.providers.base import Account, ErrorClass, ProviderCallFailed, ProviderError, Scope

# What each of their error codes means; the rest is an error of the text's own.
_CODES: dict[int, dict[str, Any]] = {
    4000: {"error_class": ErrorClass.PERMANENT},
    4001: {"error_class": ErrorClass.RETRYABLE},
    4002: {"error_class": ErrorClass.PERMANENT, "scope": Scope.HUMAN, "reason": "opted_out"},
    5000: {"error_class": ErrorClass.UNKNOWN},
    5003: {"error_class": ErrorClass.RETRYABLE},
    5509: {"error_class": ErrorClass.RETRYABLE},
    10001: {"error_class": ErrorClass.PERMANENT, "counts_against_line": True},
    10002: {"error_class": ErrorClass.UNKNOWN},
}
FAILED_TO_SEND = "10001"

# Rules of theirs that decline a text, by the stable word for each.
_KEYS: dict[str, dict[str, Any]] = {
    "LINE_HOURLY_LIMIT_REACHED": {"error_class": ErrorClass.HELD, "scope": Scope.LINE},
    "LINE_DAILY_LIMIT_REACHED": {"error_class": ErrorClass.HELD, "scope": Scope.LINE},
    "PRE_REPLY_LIMIT_REACHED": {"error_class": ErrorClass.HELD, "scope": Scope.HUMAN, "until_inbound": True},
    "OPTED_OUT": {"error_class": ErrorClass.PERMANENT, "scope": Scope.HUMAN, "reason": "opted_out"},
}

_PAGE, _MOST_PAGES = 100, 10


def ask(account: Account, call: Callable[[SendblueAPI], Any]) -> dict[str, Any]:
    return object_of(answered(account, call))


def answered(account: Account, call: Callable[[SendblueAPI], Any]) -> httpx.Response:
    """The answer to one call; raises `ProviderCallFailed`, without an error when nobody can tell what happened."""
    try:
        answer = call(_client(account.base_url, account.token))
    except APIStatusError as refused:
        raise ProviderCallFailed(_status_error(refused.response)) from refused
    except APIConnectionError as failed:
        raise ProviderCallFailed(_connection_error(failed)) from failed
    return answer if isinstance(answer, httpx.Response) else answer.http_response


def post(account: Account, path: str, body: dict[str, Any], *, timeout: float) -> dict[str, Any]:
    """A call that their library does not have."""
    return ask(account, lambda api: api.post(path, body=body, cast_to=httpx.Response, options={"timeout": timeout}))


def listed(account: Account, *, timeout: float, **filters: Any) -> list[dict[str, Any]]:
    """Messages, the earliest changed first."""
    filters |= {"order_by": "updatedAt", "order_direction": "asc", "limit": _PAGE, "timeout": timeout}
    rows: list[dict[str, Any]] = []
    for _ in range(_MOST_PAGES):
        call = functools.partial(_list_messages, **filters, offset=len(rows))
        answer = ask(account, call)
        found = answer.get("data") or []
        rows += found
        if len(found) < _PAGE or not (answer.get("pagination") or {}).get("hasMore"):
            break
    return rows


def _list_messages(api: SendblueAPI, **query: Any) -> Any:
    return api.messages.with_raw_response.list(**query)


def line_states(account: Account, *, timeout: float) -> tuple[list[dict[str, Any]], str]:
    response = answered(account, lambda api: api.lines.with_raw_response.get_state(timeout=timeout))
    rows = object_of(response).get("data") or []
    return [row for row in rows if row.get("sendblue_number")], response.headers.get("date", "")


def usage_of(account: Account, line: str) -> dict[str, Any]:
    """New contacts used and left; empty when it cannot be had, for it decides nothing."""
    timeout = account.deadlines.probe
    try:
        answer = ask(account, lambda api: api.lines.with_raw_response.get_usage(timeout=timeout))
    except ProviderCallFailed:
        return {}
    return next((row for row in answer.get("lines") or [] if row.get("phone") == line), {})


@functools.lru_cache(maxsize=32)
def _client(base_url: str, token: str) -> SendblueAPI:
    key, _, secret = token.partition(":")
    return SendblueAPI(
        api_key=key,
        api_secret=secret,
        base_url=base_url,
        # A failed POST tried again is a text sent twice: there is no send key.
        max_retries=0,
        http_client=httpx.Client(trust_env=False, follow_redirects=False),
    )


def _connection_error(failed: APIConnectionError) -> ProviderError | None:
    """Line-down when the connection never stood, so that nothing left; else nobody knows."""
    if isinstance(failed.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
        return ProviderError(
            ErrorClass.LINE_DOWN, "unreachable", "The provider cannot be reached.", scope=Scope.ACCOUNT
        )
    return None


def _status_error(response: httpx.Response) -> ProviderError | None:
    try:
        body = object_of(response)
    except ProviderCallFailed:
        body = {}
    text = str(body.get("error_message") or body.get("message") or f"HTTP {response.status_code}")
    if response.status_code in {401, 403}:
        return ProviderError(ErrorClass.LINE_DOWN, "unauthorized", text, scope=Scope.ACCOUNT)
    if response.status_code == 429:
        wait = _seconds(response.headers.get("retry-after"))
        return ProviderError(ErrorClass.RETRYABLE, "429", text, retry_after=wait, scope=Scope.ACCOUNT)
    known = _known(body)
    if response.is_server_error and (known is None or known["error_class"] is ErrorClass.UNKNOWN):
        return None
    return ProviderError(**(known or {"error_class": ErrorClass.PERMANENT}), code=_code(body, response), text=text)


def error_of(message: dict[str, Any]) -> ProviderError:
    """Why a message failed or was declined, from its own fields."""
    text = message.get("error_message") or message.get("error_detail") or message.get("error_reason") or "Failed."
    known = _known(message) or {"error_class": ErrorClass.PERMANENT, "counts_against_line": True}
    return ProviderError(**known, code=_code(message), text=str(text))


def _known(body: dict[str, Any]) -> dict[str, Any] | None:
    key = str(body.get("error_key") or "")
    if "SMS" in key and "LIMIT" in key:
        return {"error_class": ErrorClass.HELD, "scope": Scope.LINE}
    if key in _KEYS:
        return _KEYS[key]
    code = body.get("error_code")
    # The number of a request limit, inside an answer that is none: a limit of the line.
    if code == 429:
        return {"error_class": ErrorClass.HELD, "scope": Scope.LINE}
    return _CODES.get(code) if isinstance(code, int) else None


def _code(body: dict[str, Any], response: httpx.Response | None = None) -> str:
    return str(body.get("error_key") or body.get("error_code") or (response.status_code if response else "error"))


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None
