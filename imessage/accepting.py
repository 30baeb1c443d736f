"""The rows of an accepted message, written by one statement.

An ORM that talks row by row costs a round trip for each; here the message, its parts, counters, verdict, step, event
and job go together, in the caller's transaction and under its locks.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from contactrules.models import Decision
from contactrules.rules import Verdict
from core.actor import Actor
from core.ids import uuid7
from core.wake import QUEUE, Job, tell_workers
from events import feed
from imessage.counters import advance
from imessage.models import Conversation, Direction, Message, Part
from imessage.shapes import message_shape
from lines.models import Line

_WRITE = f"""
WITH thread AS (
    {advance(direction=Direction.OUTBOUND)}
), said AS (
    INSERT INTO imessage_message (id, organization_id, identity_id, conversation_id, connection_id, line_id, human,
        direction, position, text, message_type, service, send_style, status, error_code, error_reason, error_message,
        error_detail, is_read, is_blocked, rule_id, rule_revision, filter_mode, provider_handle, is_late, created_at,
        updated_at, fallback, fallback_line_id, is_fast, reply_to_id, reply_to_part, thread_root_id, reply_unresolved)
    SELECT %(id)s, %(organization)s, %(identity)s, %(conversation)s, %(connection)s, %(line)s, %(human)s,
        'outbound', position, %(text)s, %(type)s, %(service)s, %(style)s, 'queued', '', '', '',
        '', false, false, %(rule)s, %(revision)s, %(mode)s, '', false, %(now)s, %(now)s, %(fallback)s,
        %(fallback_line)s, %(fast)s, %(reply_to)s, %(reply_to_part)s, %(root)s, %(unresolved)s
    FROM thread
), parts AS (
    INSERT INTO imessage_part (id, message_id, index, kind, text, url, media_id, content_type, size)
    SELECT part.id, %(id)s, part.index, part.kind, part.text, part.url, part.media_id, part.content_type, part.size
    FROM jsonb_to_recordset(%(parts)s) AS part (id uuid, index smallint, kind text, text text, url text,
        media_id uuid, content_type text, size bigint)
), decision AS (
    INSERT INTO contactrules_decision (organization_id, identity_id, human, direction, subject, allowed, mode,
        revision, rule_id, message_id, at)
    SELECT %(organization)s, %(identity)s, reached, %(outbound)s, %(subject)s, true, %(mode)s, %(revision)s,
        %(rule)s, %(id)s, %(now)s
    FROM unnest(%(humans)s::text[]) AS reached
), step AS (
    INSERT INTO imessage_deliverystep (message_id, state, detail, at, noted_at)
    VALUES (%(id)s, 'queued', '', %(now)s, %(now)s)
), event AS (
    INSERT INTO events_event (id, type, organization_id, identity_id, conversation_id, subject_id, actor, data, at)
    VALUES (%(event)s, 'message.queued', %(organization)s, %(identity)s, %(conversation)s, %(id)s::text, %(actor)s,
        %(data)s, %(now)s)
    RETURNING number
), {QUEUE}
SELECT number, EXISTS (SELECT FROM due) FROM event
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Reply:
    """What a message answers inline; `unresolved` when it will leave as an ordinary text."""

    parent: Message
    part_index: int
    unresolved: bool


def write(
    actor: Actor,
    conversation: Conversation,
    *,
    given: Verdict,
    humans: Sequence[str],
    text: str | None,
    parts: Sequence[Part],
    send_style: str,
    service: str,
    reply: Reply | None,
    fallback: str,
    fallback_line: Line | None,
    is_fast: bool,
    now: datetime,
    job: Job,
) -> Message:
    """Store a queued message at the end of its conversation with everything that goes with it, and tell open pages.

    `humans` are all whom it reaches, `job` is the one that drains the conversation. The caller holds the locks of the
    identity and the conversation, and has decided.
    """
    message = Message(
        organization_id=conversation.organization_id,
        identity_id=conversation.identity_id,
        conversation=conversation,
        connection_id=conversation.connection_id,
        line_id=conversation.line_id,
        human=conversation.human,
        direction="outbound",
        position=conversation.next_position,
        text=text,
        message_type=_type_of(parts),
        service=service,
        send_style=send_style,
        fallback=fallback,
        fallback_line=fallback_line,
        is_fast=is_fast,
        reply_to_id=reply.parent.id if reply else None,
        reply_to_part=reply.part_index if reply else 0,
        thread_root_id=reply.parent.thread_id if reply else None,
        reply_unresolved=reply.unresolved if reply else None,
        status=Message.Status.QUEUED,
        rule_id=given.rule_id,
        rule_revision=given.revision,
        filter_mode=given.mode,
        created_at=now,
        updated_at=now,
    )
    for index, part in enumerate(parts):
        part.message, part.index = message, index
    _hold(message, parts)
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            {
                "id": message.id,
                "organization": message.organization_id,
                "identity": message.identity_id,
                "conversation": message.conversation_id,
                "connection": message.connection_id,
                "line": message.line_id,
                "human": message.human,
                "humans": list(humans),
                "text": text,
                "type": str(message.message_type),
                "service": str(service),
                "style": send_style,
                "fallback": str(fallback),
                "fallback_line": message.fallback_line_id,
                "fast": is_fast,
                "reply_to": message.reply_to_id,
                "reply_to_part": message.reply_to_part,
                "root": message.thread_root_id,
                "unresolved": message.reply_unresolved,
                "rule": given.rule_id,
                "revision": given.revision,
                "mode": given.mode,
                "now": now,
                "parts": json.dumps([_row(part) for part in parts]),
                "outbound": Decision.Direction.OUTBOUND.value,
                "subject": Decision.Subject.MESSAGE.value,
                "event": uuid7(),
                "actor": json.dumps(actor.frozen()),
                "data": json.dumps({"message": message_shape(message)}),
                **job.values(),
            },
        )
        number, is_due = cursor.fetchone()
    feed.publish_after_commit(number)
    if is_due:
        tell_workers()
    return message


def _type_of(parts: Sequence[Part]) -> str:
    """Several pictures make a carousel."""
    is_carousel = sum(part.kind == Part.Kind.MEDIA for part in parts) > 1
    return Message.Type.CAROUSEL if is_carousel else Message.Type.MESSAGE


def _hold(message: Message, parts: Sequence[Part]) -> None:
    """Let the message know its parts and that nobody has reacted yet, so that showing it asks nothing."""
    known = {"parts": message.parts.all(), "tapbacks": message.tapbacks.all()}
    known["parts"]._result_cache, known["tapbacks"]._result_cache = list(parts), []
    message._prefetched_objects_cache = known  # type: ignore[attr-defined]


def _row(part: Part) -> dict[str, object]:
    return {
        "id": _text(part.id),
        "index": part.index,
        "kind": str(part.kind),
        "text": part.text,
        "url": part.url,
        "media_id": _text(part.media_id),
        "content_type": part.content_type,
        "size": part.size,
    }


def _text(key: UUID | None) -> str | None:
    return str(key) if key else None
