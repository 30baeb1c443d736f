"""The calls to a BlueBubbles server, and what its refusals mean."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from lines.providers.base import (
    HELPER_LOST,
    Account,
    ErrorClass,
    ProviderCallFailed,
    ProviderError,
    Scope,
)

MOST_ROWS = 1000


def on_chat(chat: str, human: str, call: Callable[[str], None]) -> None:
    """Make the call on the first form of the chat that the server knows."""
    known = chats(chat, human)
    for form in known:
        try:
            call(form)
        except ProviderCallFailed as failed:
            if failed.error is None or failed.error.code != "not_found" or form == known[-1]:
                raise
        else:
            return


def chats(chat: str, human: str) -> list[str]:
    """The forms in which the server may know a thread, the hint first; never one of SMS, nor a group's for a human.

    A group has the one name it told.
    """
    if not human:
        return [chat]
    forms = [chat, f"iMessage;-;{human}", f"any;-;{human}"]
    return list(dict.fromkeys(form for form in forms if ";-;" in form and not form.startswith("SMS;")))


def chat_call(account: Account, chat: str, deed: str, deadline: float) -> None:
    call(account, "POST", f"chat/{quote(chat, safe='')}/{deed}", deadline)


def post(account: Account, path: str, deadline: float, body: dict[str, Any], chat: str = "") -> None:
    call(account, "POST", path, deadline, json={**body, "chatGuid": chat} if chat else body)


def query(
    account: Account, deadline: float, *, since: int, skip: int = 0, where: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """One page of rows, oldest first. `where` are columns, also such as no answer shows."""
    body = {
        "after": since,
        "limit": MOST_ROWS,
        "offset": skip,
        "sort": "ASC",
        "with": ["chat", "chat.participants", "attachment"],
        "where": [
            {"statement": f"{column} = :{column.partition('.')[2]}", "args": {column.partition(".")[2]: value}}
            for column, value in (where or {}).items()
        ],
    }
    rows = answer(account, "POST", "message/query", deadline, json=body).get("data")
    return (row for row in rows or [] if isinstance(row, dict) and row.get("guid"))


def call_list(account: Account, path: str, deadline: float) -> list[dict[str, Any]]:
    """The `data` of an answer that is a list of objects."""
    found = answer(account, "GET", path, deadline).get("data")
    return [one for one in found or [] if isinstance(one, dict)]


def events_of(hook: Mapping[str, Any]) -> list[str]:
    events = hook.get("events")
    return list(json.loads(events)) if isinstance(events, str) else list(events or [])


def call(account: Account, method: str, path: str, deadline: float, **request: Any) -> dict[str, Any]:
    """The `data` of an answer that is an object; empty for one without."""
    data = answer(account, method, path, deadline, **request).get("data")
    return data if isinstance(data, dict) else {}


def answer(
    account: Account, method: str, path: str, deadline: float, params: Mapping[str, str] | None = None, **request: Any
) -> dict[str, Any]:
    """The envelope of a good answer; raises `ProviderCallFailed`, without the URL: that has the password."""
    try:
        response = _client().request(
            method,
            f"{root(account)}/{path}",
            params={**(params or {}), "password": account.token},
            timeout=deadline,
            **request,
        )
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise _failed(ErrorClass.LINE_DOWN, "unreachable", "The Mac cannot be reached.", Scope.ACCOUNT) from None
    except httpx.HTTPError:
        raise ProviderCallFailed(None) from None
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.is_success and isinstance(answer, dict):
        return answer
    raise ProviderCallFailed(_error(response.status_code, answer if isinstance(answer, dict) else {}))


def _error(status: int, answer: Mapping[str, Any]) -> ProviderError | None:
    """One status and one type cover what never left, left and failed, and nobody knows: the words decide."""
    error = answer.get("error")
    told: Mapping[str, Any] = error if isinstance(error, dict) else {}
    text = f"{answer.get('message') or ''} {told.get('message') or error or ''}".strip()[:500]
    words = text.lower()
    if status in {401, 403}:
        return ProviderError(ErrorClass.LINE_DOWN, "refused_access", text, scope=Scope.ACCOUNT)
    if 300 <= status < 400:
        return ProviderError(ErrorClass.LINE_DOWN, "unreachable", "The address leads elsewhere.", scope=Scope.ACCOUNT)
    if status == 404 or ("chat" in words and "does not exist" in words):
        return ProviderError(ErrorClass.PERMANENT, "not_found", text)
    if status == 400 and "already queued" in words:
        return ProviderError(ErrorClass.UNKNOWN, "queued_already", text)
    if status in {408, 429}:  # a tunnel's word, not the server's
        return ProviderError(ErrorClass.RETRYABLE if status == 429 else ErrorClass.UNKNOWN, f"http_{status}", text)
    if 400 <= status < 500:
        return ProviderError(ErrorClass.PERMANENT, f"http_{status}", text)
    if "private api" in words and ("not enabled" in words or "not connected" in words or "disabled" in words):
        return ProviderError(ErrorClass.RETRYABLE, HELPER_LOST, text, scope=Scope.LINE)
    if "sent with an error" in words or "attached message error code" in words:
        return ProviderError(ErrorClass.UNKNOWN, "sent_with_error", text)
    return None if status < 500 else ProviderError(ErrorClass.UNKNOWN, f"http_{status}", text)


def _failed(error_class: ErrorClass, code: str, text: str, scope: Scope = Scope.MESSAGE) -> ProviderCallFailed:
    return ProviderCallFailed(ProviderError(error_class, code, text, scope=scope))


def root(account: Account) -> str:
    return f"{account.base_url.rstrip('/')}/api/v1"


@functools.cache
def _client() -> httpx.Client:
    """One client for all threads. No proxies from the environment, no redirects, no retries of its own."""
    return httpx.Client(trust_env=False, follow_redirects=False)
