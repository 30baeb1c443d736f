"""Lists of messages in our canonical shape, built by PostgreSQL: a quarter of the work of models made into dicts."""

import functools
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson
from django.db.models import QuerySet, TextField
from django.db.models.expressions import RawSQL

from core.actor import Actor, Role
from core.compiled import Compiled
from imessage.links import media_link
from imessage.models import Message, MessageQuerySet

# `iso` of imessage/shapes.py: UTC with Z, microseconds only when there are any.
_ISO = "replace(to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '.000000', '') || 'Z'"

# A file of ours; its link is signed here, not there. No other URL can begin so.
_OURS = "ours:"

# Only names of ours are put into it.
_SHAPE = """
json_build_object(
    'id', imessage_message.id,
    'organization_id', imessage_message.organization_id,
    'identity_id', imessage_message.identity_id,
    'conversation_id', imessage_message.conversation_id,
    'connection_id', imessage_message.connection_id,
    'line_id', imessage_message.line_id,
    'direction', imessage_message.direction,
    'human', imessage_message.human,
    'is_group', imessage_message.connection_id IS NULL,
    'sender', CASE WHEN imessage_message.connection_id IS NULL THEN nullif(imessage_message.human, '') END,
    'participants', CASE WHEN imessage_message.connection_id IS NULL THEN coalesce((
        SELECT json_agg(present.human ORDER BY present.joined_at, present.id) FROM imessage_participant present
        WHERE present.conversation_id = imessage_message.conversation_id AND present.left_at IS NULL
    ), '[]') END,
    'position', imessage_message.position,
    'text', imessage_message.text,
    'message_type', imessage_message.message_type,
    'service', imessage_message.service,
    'send_style', nullif(imessage_message.send_style, ''),
    'is_fast', imessage_message.is_fast,
    'reply_to', CASE WHEN imessage_message.reply_to_id IS NOT NULL THEN json_build_object(
        'message_id', imessage_message.reply_to_id,
        'part_index', imessage_message.reply_to_part
    ) END,
    'reply_unresolved', imessage_message.reply_unresolved,
    'thread_root_id', imessage_message.thread_root_id,
    'media', coalesce((
        SELECT json_agg(json_build_object(
            'id', part.id,
            'url', coalesce('{ours}' || part.media_id, part.url),
            'content_type', nullif(part.content_type, ''),
            'size', part.size,
            'part_index', part.index
        ) ORDER BY part.index)
        FROM imessage_part part WHERE part.message_id = imessage_message.id AND part.kind = 'media'
    ), '[]'),
    'was_downgraded', imessage_message.was_downgraded,
    'status', imessage_message.status,
    'error', CASE WHEN imessage_message.status IN ('error', 'declined') THEN json_build_object(
        'code', imessage_message.error_code,
        'reason', imessage_message.error_reason,
        'message', imessage_message.error_message,
        'detail', imessage_message.error_detail
    ) END,
    'is_read', imessage_message.is_read,
    'is_blocked', imessage_message.is_blocked,
    'is_late', imessage_message.is_late,
    'tapbacks', coalesce((
        SELECT json_agg(json_build_object(
            'id', tapback.id,
            'conversation_id', imessage_message.conversation_id,
            'connection_id', tapback.connection_id,
            'message_id', tapback.message_id,
            'direction', tapback.direction,
            'kind', tapback.kind,
            'emoji', nullif(tapback.emoji, ''),
            'human', tapback.human,
            'part_index', tapback.part_index,
            'created_at', {tapback_created_at},
            'updated_at', {tapback_updated_at}
        ) ORDER BY tapback.created_at, tapback.id)
        FROM imessage_tapback tapback
        WHERE tapback.message_id = imessage_message.id AND tapback.ended_at IS NULL
    ), '[]'),
    'created_at', {created_at},
    'updated_at', {updated_at},
    'sent_at', {sent_at},
    'delivered_at', {delivered_at},
    'failed_at', {failed_at},
    'peer_read_at', {peer_read_at}
)::text
""".format(  # noqa: S608
    ours=_OURS,
    tapback_created_at=_ISO.format("tapback.created_at"),
    tapback_updated_at=_ISO.format("tapback.updated_at"),
    **{
        name: _ISO.format(f"imessage_message.{name}")
        for name in ("created_at", "updated_at", "sent_at", "delivered_at", "failed_at", "peer_read_at")
    },
)


def message_shapes(rows: MessageQuerySet) -> list[dict[str, Any]]:
    """What `message_shape` makes of each message, in the rows' order, by one statement."""
    return _shapes(text for (text,) in _as_json(rows))


def conversation_page(actor: Actor, conversation_id: UUID, *, limit: int, offset: int) -> list[dict[str, Any]]:
    """The same of a conversation's messages that the actor may see, the latest first: what agents ask most."""
    asked = {"organization_id": actor.organization_id, "conversation_id": conversation_id}
    if actor.is_agent:
        asked["identity_id"] = actor.identity_id
    return _shapes(text for (text,) in _page(actor.role, limit, offset).all(**asked))


@functools.lru_cache(maxsize=128)
def _page(role: Role, limit: int, offset: int) -> Compiled[tuple[str]]:
    def build(organization_id: UUID, conversation_id: UUID, identity_id: UUID | None = None) -> QuerySet[Any, Any]:
        actor = Actor(role, "", "", "", organization_id=organization_id, identity_id=identity_id)
        rows = Message.objects.visible_to(actor).filter(conversation_id=conversation_id).order_by("-position")
        return _as_json(rows[offset : offset + limit])

    samples = {"organization_id": UUID(int=1), "conversation_id": UUID(int=2)}
    if role is Role.AGENT:
        samples["identity_id"] = UUID(int=3)
    return Compiled(build, **samples)


def _as_json(rows: MessageQuerySet) -> QuerySet[Any, tuple[str]]:
    return rows.values_list(RawSQL(_SHAPE, [], output_field=TextField()))  # noqa: S611


def _shapes(texts: Iterable[str]) -> list[dict[str, Any]]:
    shapes: list[dict[str, Any]] = orjson.loads("[" + ",".join(texts) + "]")
    for shape in shapes:
        for medium in shape["media"]:
            if medium["url"].startswith(_OURS):
                medium["url"] = media_link(UUID(medium["url"][len(_OURS) :]), medium["content_type"] or "")
    return shapes
