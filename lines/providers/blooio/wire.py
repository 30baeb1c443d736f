"""The calls to Blooio, what its refusals mean, and its chats.

A chat is a human's, or a group's, with all lines of the account.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx

from lines.answers import object_of
from lines.providers.base import Account, ErrorClass, ProviderCallFailed, ProviderError, Scope
from lines.providers.blooio.words import time_of

_PAGE, _MOST_CHATS, _MOST_PAGES = 100, 200, 10


def call(method: str, account: Account, path: str, **request: Any) -> dict[str, Any]:
    """The object that a call is answered with; raises `ProviderCallFailed`."""
    return object_of(answered(method, account, path, **request))


def answered(
    method: str, account: Account, path: str, *, headers: Mapping[str, str] | None = None, **request: Any
) -> httpx.Response:
    """The answer to one call; raises `ProviderCallFailed`, without an error when nobody can tell what happened."""
    url = f"{base(account)}{path}"
    try:
        response = _client().request(method, url, headers={**auth(account), **(headers or {})}, **request)
    except (httpx.ConnectError, httpx.ConnectTimeout) as away:
        error = ProviderError(
            ErrorClass.LINE_DOWN, "unreachable", "The provider cannot be reached.", scope=Scope.ACCOUNT
        )
        raise ProviderCallFailed(error) from away
    except httpx.HTTPError as lost:
        raise ProviderCallFailed(None) from lost
    if not response.is_success:
        raise ProviderCallFailed(_error(response))
    return response


def chat_path(chat: str) -> str:
    """Where a chat lies, by its human, its group or the humans of one."""
    return f"/chats/{quote(chat, safe='')}"


def is_on_line(account: Account, chat: str, line: str, *, timeout: float) -> bool:
    """Whether the chat goes on over this line now.

    Some calls cannot name a line: a human with two agents would see one of them type in the other's thread.
    """
    query = {"sort": "desc", "limit": 1}
    newest = call("GET", account, f"{chat_path(chat)}/messages", timeout=timeout, params=query).get("messages") or []
    return bool(newest) and newest[0].get("internal_id") == line


def chats_since(account: Account, since: datetime) -> Iterator[dict[str, Any]]:
    """Chats in which something happened since, the latest first."""
    for offset in range(0, _MOST_CHATS, _PAGE):
        query = {"sort": "recent", "limit": _PAGE, "offset": offset}
        chats = call("GET", account, "/chats", timeout=account.deadlines.poll, params=query).get("chats") or []
        for chat in chats:
            last = time_of(chat.get("last_message_time"))
            if last and last < since:
                return
            yield chat
        if len(chats) < _PAGE:
            return


def members_of(account: Account, group: str) -> set[str]:
    """The addresses of who is in a group."""
    path, query = f"/groups/{quote(group, safe='')}/members", {"limit": 200}
    answer = call("GET", account, path, timeout=account.deadlines.find_sent, params=query)
    return {str(member.get("identifier")) for member in answer.get("members") or []}


def messages_since(
    account: Account, chat: str, since: datetime, *, timeout: float, direction: str = ""
) -> list[dict[str, Any]]:
    """A chat's messages since a moment, the oldest first."""
    rows: list[dict[str, Any]] = []
    for page in range(_MOST_PAGES):
        query = {"sort": "asc", "since": int(since.timestamp() * 1000), "limit": _PAGE, "offset": page * _PAGE}
        query |= {"direction": direction} if direction else {}
        answer = call("GET", account, f"{chat_path(chat)}/messages", timeout=timeout, params=query)
        found = answer.get("messages") or []
        rows += found
        if len(found) < _PAGE:
            break
    return rows


def base(account: Account) -> str:
    return account.base_url.rstrip("/")


def auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.token}"}


@functools.cache
def _client() -> httpx.Client:
    """One client for all threads. No proxies from the environment, no redirects, no retries of its own."""
    return httpx.Client(trust_env=False, follow_redirects=False)


def _error(response: httpx.Response) -> ProviderError | None:
    """What a refusal means; None when the answer is no word of theirs, so that the text may have left."""
    body: dict[str, Any] = {}
    with contextlib.suppress(ProviderCallFailed):
        body = object_of(response)
    status, code = response.status_code, str(body.get("code") or response.status_code)
    text = str(body.get("message") or body.get("error") or f"HTTP {status}")
    match status:
        case 401:
            return ProviderError(ErrorClass.LINE_DOWN, "unauthorized", text, scope=Scope.ACCOUNT)
        case 403 if code == "inbound_only_no_prior_inbound":
            return ProviderError(ErrorClass.HELD, code, text, scope=Scope.HUMAN, until_inbound=True)
        case 403 if code.startswith("safety_"):
            return ProviderError(ErrorClass.LINE_DOWN, code, text, scope=Scope.LINE, counts_against_line=True)
        case 429 if code.startswith("conversation_"):
            return ProviderError(ErrorClass.HELD, code, text, scope=Scope.HUMAN, until_inbound=True)
        case 429:
            return ProviderError(ErrorClass.HELD, code, text, retry_after=_hold(response, code), scope=Scope.LINE)
        case 502:
            # Their link to the device; harmless to repeat under the same key.
            return ProviderError(ErrorClass.RETRYABLE, code, text, scope=Scope.LINE, counts_against_line=True)
        case 503:
            return ProviderError(ErrorClass.LINE_DOWN, code, text, scope=Scope.LINE, counts_against_line=True)
    if status >= 500:
        return None
    return ProviderError(ErrorClass.PERMANENT, code, text)


def _hold(response: httpx.Response, code: str) -> float:
    """Seconds to wait: as they say, else a minute for a rate and the next day for a daily cap."""
    try:
        return max(1.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        now = datetime.now(UTC)
        tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return (tomorrow - now).total_seconds() if code.endswith("_limit_reached") else 60.0
