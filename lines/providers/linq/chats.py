"""Linq's chats: each is the thread of one of our lines and a human, or a group."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import linq

from lines.providers.base import Account, Group, ProviderCallFailed, Thread
from lines.providers.linq.wire import calling, is_gone, object_of
from lines.providers.linq.words import group_of, line_of, mappings, time_of

_PAGE = 50
_MOST_PAGES = 20


def changed_chats(account: Account, since: datetime) -> list[dict[str, Any]]:
    """The chats of all the account's lines that have changed since."""
    changed: list[dict[str, Any]] = []
    cursor: Any = linq.omit
    for _ in range(_MOST_PAGES):
        with calling(account, deadline=account.deadlines.poll) as client:
            answer = object_of(client.chats.with_raw_response.list_chats(cursor=cursor, limit=100))
        chats = mappings(answer.get("chats"))
        changed += [chat for chat in chats if (time_of(chat.get("updated_at")) or since) >= since]
        cursor = answer.get("next_cursor")
        if not cursor:
            break
    return changed


def thread_of(chat: dict[str, Any]) -> Thread | None:
    """The thread that a chat is, a group's without a human; None when it is none of ours."""
    line, theirs = line_of(chat), [one for one in mappings(chat.get("handles")) if not one.get("is_me")]
    if not line or not theirs or (len(theirs) > 1 and not chat.get("is_group")):
        return None
    human = "" if chat.get("is_group") else str(theirs[0].get("handle"))
    return Thread(line, human, str(chat.get("id")))


def found_group(account: Account, line: str, group: Group) -> str:
    """The group's chat; for one that has no key, the newest group of just its members. Empty when there is none."""
    if group.key:
        return group.key
    with calling(account, deadline=account.deadlines.typing) as client:
        answer = client.chats.with_raw_response.list_chats(from_=line, to=group.members[0], limit=100)
    same = [
        chat
        for chat in mappings(object_of(answer).get("chats"))
        if chat.get("is_group") and set(group_of(chat).members) == set(group.members)
    ]
    return str(max(same, key=created)["id"]) if same else ""


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
