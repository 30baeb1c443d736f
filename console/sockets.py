"""The socket of an open page: who may hear what, and what was missed. It carries numbers and topics, never text."""

import logging
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.module_loading import import_string

from accounts.members import Standing, actor_of, standings
from console.listening import REPLAY_LIMIT, listener
from console.sessions import watch
from console.topics import EVERYONE, group_of, told
from core.actor import Actor, Role
from core.errors import Forbidden
from events import feed
from events.feed import MARGIN, FeedItem

logger = logging.getLogger(__name__)

SESSION_ENDED = 4401
RIGHTS_CHANGED = 4403
# Numbers remembered per socket: with a shared channel layer each web process tells it the same events.
REMEMBERED = 2 * (REPLAY_LIMIT + MARGIN)


class ConsoleSocket(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Says `ready`, `events`, `topics`, `reset`, `typing`, `state`, `pong`; hears `hello` and `ping`."""

    actor: Actor
    session_key: str
    user_id: str
    standing: Standing | None

    async def connect(self) -> None:
        self._seen: dict[int, None] = {}
        self._is_ready = False
        self.session_key = self.scope["session"].session_key or ""
        await self.accept()
        try:
            actor, self.user_id, self.standing = await self._who()
        except Forbidden:
            await self.close(RIGHTS_CHANGED)
            return
        except DatabaseError:
            await self.close(1013)  # try again later
            return
        if actor is None:
            await self.close(SESSION_ENDED)
            return
        self.actor = actor
        for group in self._groups():
            await self.channel_layer.group_add(group, self.channel_name)
        self._is_ready = True
        watch.add(self)
        await self.send_json({"type": "ready", "listening": listener.listening})

    async def disconnect(self, code: int) -> None:
        if self._is_ready:
            watch.discard(self)
            for group in self._groups():
                await self.channel_layer.group_discard(group, self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if not self._is_ready:
            return
        if kind == "hello":
            await self._catch_up(_number(content.get("last")), fresh=bool(content.get("fresh")))
        elif kind == "ping":
            await self.send_json({"type": "pong", "listening": listener.listening, "last": listener.last})

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        """What is not JSON says nothing; it does not end the socket."""
        try:
            return await super().decode_json(text_data)
        except ValueError:
            return None

    # What the groups say

    async def feed_events(self, message: dict[str, Any]) -> None:
        events = [event for event in message["events"] if event["number"] not in self._seen]
        if events:
            self._remember(event["number"] for event in events)
            await self.send_json({"type": "events", "events": events, "last": message["last"]})

    async def feed_reset(self, message: dict[str, Any]) -> None:
        await self.send_json({"type": "reset", "last": message["last"]})

    async def feed_typing(self, message: dict[str, Any]) -> None:
        await self.send_json(message | {"type": "typing"})

    async def feed_topics(self, message: dict[str, Any]) -> None:
        await self.send_json({"type": "topics", "topics": message["topics"]})

    async def feed_state(self, message: dict[str, Any]) -> None:
        await self.send_json({"type": "state", "listening": message["listening"]})

    # What was missed

    async def _catch_up(self, last: int, *, fresh: bool) -> None:
        """Answer `hello`: the events since, or `reset` when they are too many; `later` while the database is away."""
        try:
            items, newest = await database_sync_to_async(_missed)(last)
        except DatabaseError:
            await self.send_json({"type": "later"})
            return
        if len(items) >= REPLAY_LIMIT + MARGIN:
            await self.send_json({"type": "reset", "last": newest})
            return
        if fresh:
            recent = {item.number for item in listener.recent()}
            items = [item for item in items if item.number > last or item.number in recent]
        mine = [told(item) for item in items if self._may_hear(item)]
        self._remember(event["number"] for event in mine)
        await self.send_json({"type": "events", "events": mine, "last": newest, "caught_up": True})

    def _may_hear(self, item: FeedItem) -> bool:
        return self.actor.role is Role.OPERATOR or item.organization_id == self.actor.organization_id

    def _remember(self, numbers: Any) -> None:
        self._seen.update(dict.fromkeys(numbers))
        while len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]

    # Rights

    def _groups(self) -> list[str]:
        return [EVERYONE, group_of(self.actor)]

    async def judge(self) -> None:
        """Close when the session has ended or the person acts as somebody else now."""
        try:
            actor, _, self.standing = await self._who()
        except Forbidden:
            await self.close(RIGHTS_CHANGED)
            return
        if actor is None:
            await self.close(SESSION_ENDED)
        elif (actor.role, actor.organization_id) != (self.actor.role, self.actor.organization_id):
            await self.close(RIGHTS_CHANGED)

    async def _who(self) -> tuple[Actor | None, str, Standing | None]:
        who: tuple[Actor | None, str, Standing | None] = await database_sync_to_async(_signed_in)(self.session_key)
        return who


def _signed_in(session_key: str) -> tuple[Actor | None, str, Standing | None]:
    """As whom the session acts now, read afresh: the scope keeps the session as it was when the socket opened."""
    request = HttpRequest()
    request.session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")(session_key)
    user = get_user(request)
    if not user.is_authenticated or not user.is_active:
        return None, "", None
    # Read before the rights themselves: a change between the two is seen at the next look.
    standing = standings({session_key: str(user.pk)}).get(session_key)
    return actor_of(user), str(user.pk), standing


def _missed(last: int) -> tuple[list[FeedItem], int]:
    items = feed.items_since(last)
    return items, max([last, *(item.number for item in items)])


def _number(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**63 else 0
