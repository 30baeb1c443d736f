"""Linq's chats: each is the thread of one of our lines and a human, or a group."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import linq

from lines.providers.base import Account, ProviderCallFailed, Thread
from lines.providers.linq.wire import calling, is_gone, object_of
from lines.providers.linq.words import mappings, time_of

_PAGE = 50
_MOST_PAGES = 20


def changed_chats(account: Account, since: datetime) -> list[Thread]:
    """The 1:1 chats of all the account's lines that have changed since."""
    changed: list[Thread] = []
    cursor: Any = linq.omit
    for _ in range(_MOST_PAGES):
        with calling(account, deadline=account.deadlines.poll) as client:
            answer = object_of(client.chats.with_raw_response.list_chats(cursor=cursor, limit=100))
        for chat in mappings(answer.get("chats")):
            ours = [str(one.get("handle")) for one in mappings(chat.get("handles")) if one.get("is_me")]
            theirs = [str(one.get("handle")) for one in mappings(chat.get("handles")) if not one.get("is_me")]
            is_ours = not chat.get("is_group") and len(ours) == len(theirs) == 1
            if is_ours and (time_of(chat.get("updated_at")) or since) >= since:
                changed.append(Thread(ours[0], theirs[0], str(chat.get("id"))))
        cursor = answer.get("next_cursor")
        if not cursor:
            break
    return changed


def found_chat(account: Account, line: str, human: str) -> str:
    """The 1:1 chat of a line and a human; empty when there is none. Never a group that they are both in."""
    with calling(account, deadline=account.deadlines.typing) as client:
        answer = client.chats.with_raw_response.list_chats(from_=line, to=human, limit=100)
    for chat in mappings(object_of(answer).get("chats")):
        people = {str(handle.get("handle")) for handle in mappings(chat.get("handles"))}
        if not chat.get("is_group") and people == {line, human}:
            return str(chat.get("id"))
    return ""


def messages_since(account: Account, chat: str, since: datetime, *, deadline: float) -> Iterator[dict[str, Any]]:
    """The chat's messages that are younger or have changed since; the order of their list is not documented."""
    cursor: Any = linq.omit
    for _ in range(_MOST_PAGES):
        try:
            with calling(account, deadline=deadline) as client:
                answer = client.chats.messages.with_raw_response.list(chat, cursor=cursor, limit=_PAGE)
        except ProviderCallFailed as failed:
            if is_gone(failed.error):
                return
            raise
        body = object_of(answer)
        page = mappings(body.get("messages"))
        yield from (message for message in page if newest(message) >= since)
        cursor = body.get("next_cursor")
        newest_first = len(page) > 1 and created(page[0]) > created(page[-1])
        if not cursor or (newest_first and created(page[-1]) < since):
            return


def created(message: dict[str, Any]) -> datetime:
    """When the message was made."""
    return time_of(message.get("created_at")) or datetime.min.replace(tzinfo=UTC)


def newest(message: dict[str, Any]) -> datetime:
    """When something last happened to the message."""
    times = [
        time_of(message.get(name)) for name in ("created_at", "sent_at", "delivered_at", "read_at", "reconciled_at")
    ]
    return max([time for time in times if time], default=created(message))
