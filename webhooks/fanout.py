"""From an event to deliveries: one for each endpoint that wants it, made from the event's frozen data alone."""

import json
import logging
from typing import Any
from uuid import UUID

from django.db import connection, models, transaction
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.contacts import contact_of, contact_shape
from accounts.models import Identity
from dialects.webhooks import Telling
from events.models import Event
from webhooks import context
from webhooks.catalog import TOLD_AS
from webhooks.live import tell_pages
from webhooks.models import Delivery, OrderNumber, Subscription
from webhooks.vendors import VENDORS

logger = logging.getLogger(__name__)

TASK = "webhooks.fanout"

_BATCH = 500

# From the library's own table: its models are for reading.
_TAKE_UP = """
DELETE FROM procrastinate_jobs
WHERE id = (SELECT id FROM procrastinate_jobs WHERE id = %s AND status = 'failed' FOR UPDATE SKIP LOCKED)
RETURNING (args->>'number')::bigint
"""


def fan_out(number: int) -> int:
    """Make the deliveries of the event with this number; how many. Repeating it makes none twice.
    Raises `Event.DoesNotExist`.

    Nothing is told of identities that are paused, disabled or deleted, nor of what came in while they were
    (architecture.md, section 10). An endpoint that is disabled gets its deliveries as failed, to be replayed.
    """
    # Raises when there is none: better tried again and seen than passed over.
    event = Event.objects.get(number=number)
    told_as = TOLD_AS.get(event.type)
    if told_as is None or not _is_inbound_or_message(event):
        return 0
    identity = Identity.objects.filter(pk=event.identity_id).first() if event.identity_id else None
    if identity is None or not identity.is_reachable or event.data.get("identity_reachable") is False:
        return 0
    with transaction.atomic():
        # One event of a conversation after the other: their order numbers have no gap and no repeat.
        _lock(event.conversation_id)
        endpoints = _wanting(event, told_as, identity)
        numbers = _order_numbers(endpoints, event)
        deliveries = [
            delivery
            for endpoint in endpoints
            for delivery in _deliveries(event, told_as, identity, endpoint, numbers.get(endpoint.id))
        ]
        Delivery.objects.bulk_create(deliveries)
        tell_pages(deliveries)
    return len(deliveries)


def take_up_given_up() -> int:
    """Fan out again what jobs have given up on: the oldest first, a batch at a time; how many deliveries that made.

    Such an event gets the order number of now: its conversation's later ones did not wait for it. What fails once
    more stays for the next time, for as long as failed jobs are kept, and holds nobody up.
    """
    failed = ProcrastinateJob.objects.filter(task_name=TASK, status="failed").order_by("id")
    return sum(_fan_out_instead_of(job) for job in failed.values_list("id", flat=True)[:_BATCH])


def body_of(payload: dict[str, Any]) -> str:
    """The bytes that are stored, signed and sent, as text."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def agent_of(identity: Identity) -> dict[str, Any]:
    """Whose event it is, in our canonical words."""
    return {"id": str(identity.id), "handle": identity.handle, "display_name": identity.display_name}


def _fan_out_instead_of(job_id: int) -> int:
    """The failed job's deed and its end, in one transaction; 0 when it fails again or another worker is at it."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_TAKE_UP, [job_id])
            row = cursor.fetchone()
            return fan_out(row[0]) if row else 0
    except Exception:
        # Whatever is wrong with this event, the others must not wait for it.
        logger.exception("An event cannot be fanned out", extra={"job_id": job_id})
        return 0


def _is_inbound_or_message(event: Event) -> bool:
    """An agent's own tapback is no news to it."""
    return "tapback" not in event.data or event.data["tapback"]["direction"] == "inbound"


def _lock(conversation_id: UUID | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('fanout'), hashtext(%s))", [str(conversation_id)])


def _wanting(event: Event, told_as: str, identity: Identity) -> list[Subscription]:
    """Endpoints that asked for such events before this one happened and were not told of it yet.

    Where a dialect has at most one, the identity's own takes the place of its organization's.
    """
    told = Delivery.objects.filter(event_id=event.id, subscription_id=models.OuterRef("pk"))
    rows: list[Any] = list(
        Subscription.objects.kept()
        .filter(
            models.Q(identity=identity) | models.Q(identity=None, organization_id=identity.organization_id),
            event_types__contains=[told_as],
            created_at__lte=event.at,
        )
        .annotate(is_told=models.Exists(told))
        .order_by("id")
    )
    replaced = {row.dialect for row in rows if row.identity_id and VENDORS[row.dialect].at_most_one}
    return [row for row in rows if not row.is_told and (row.identity_id or row.dialect not in replaced)]


def _order_numbers(endpoints: list[Subscription], event: Event) -> dict[UUID, int]:
    """The next order number of the conversation for each endpoint whose dialect has them."""
    numbered = [endpoint.id for endpoint in endpoints if VENDORS[endpoint.dialect].numbered]
    if event.conversation_id is None or not numbered:
        return {}
    table = OrderNumber._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (subscription_id, conversation_id, last)"  # noqa: S608 - our own table's name
            " SELECT endpoint, %s, 1 FROM unnest(%s::uuid[]) endpoint"
            f" ON CONFLICT (subscription_id, conversation_id) DO UPDATE SET last = {table}.last + 1"
            " RETURNING subscription_id, last",
            [event.conversation_id, numbered],
        )
        return dict(cursor.fetchall())


def _deliveries(
    event: Event, told_as: str, identity: Identity, endpoint: Subscription, order_number: int | None
) -> list[Delivery]:
    """What goes to one endpoint of an event: one body in most dialects, none when it has no words for it."""
    now, vendor = timezone.now(), VENDORS[endpoint.dialect]
    telling = Telling(
        event_id=event.id,
        event_type=told_as,
        at=event.at,
        data=_with_contact(event) if vendor.names_contact else event.data,
        agent=agent_of(identity),
        order_number=order_number,
        history=context.messages_before(event, endpoint.context_limit or 0),
        context=context.before(event, endpoint.context_config) if told_as == "message.received" else None,
    )
    return [
        Delivery(
            organization_id=endpoint.organization_id,
            identity=identity,
            subscription=endpoint,
            event_id=event.id,
            part=part,
            told_id=body.told_id,
            event_type=told_as,
            conversation_id=event.conversation_id,
            order_number=order_number,
            body=body_of(body.payload),
            state=Delivery.State.PENDING if endpoint.is_active else Delivery.State.FAILED,
            ending="" if endpoint.is_active else Delivery.Ending.DROPPED,
            settled_at=None if endpoint.is_active else now,
            next_attempt_at=now,
            created_at=now,
        )
        for part, body in enumerate(vendor.payloads(telling))
    ]


def _with_contact(event: Event) -> dict[str, Any]:
    """The event's data with who the contact book knows its human as; by now, when the event did not freeze it."""
    data: dict[str, Any] = event.data
    human = (data.get("tapback") or data["message"])["human"]
    if "contact" in data or not human or event.organization_id is None:
        return data
    return {**data, "contact": contact_shape(contact_of(event.organization_id, human))}
