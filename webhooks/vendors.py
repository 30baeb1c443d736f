"""How endpoints of each dialect are told of events: one row for each, and nothing else here knows a vendor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.ids import prefixed
from dialects import agentphone, contiguity, inkbox
from dialects.webhooks import Body, Posting, Telling
from webhooks.schedule import AGENTPHONE_SCHEDULE, SCHEDULE, Schedule
from webhooks.signing import standard_headers


@dataclass(frozen=True, slots=True)
class Vendor:
    """A dialect's way with webhooks.

    `events` says what it tells of, in its words. `own_secret`: each endpoint has one of its own; otherwise the
    identity's key signs. `at_most_one`: one endpoint for a whole organization and one for each identity, which takes
    the former's place. `numbered`: the events of a conversation carry order numbers. `names_contact`: it says who the
    organization's contact book knows the human as. `has_limits`: each endpoint says how much history it gets with an
    event, and how long it may take to answer.
    """

    label: str
    events: Mapping[str, str]
    payloads: Callable[[Telling], list[Body]]
    headers: Callable[[Sequence[str], Posting], dict[str, str]]
    signature_headers: tuple[str, ...]
    schedule: Schedule
    own_secret: bool = True
    at_most_one: bool = False
    numbered: bool = False
    chooses_events: bool = False
    names_contact: bool = False
    has_limits: bool = False


# In a test of an endpoint of all identities.
_NOBODY = {"id": None, "handle": None, "display_name": None}


def _inkbox_payloads(telling: Telling) -> list[Body]:
    payload = inkbox.webhook_payload(
        event_id=prefixed("evt", telling.event_id),
        event_type=telling.event_type,
        at=telling.at,
        order_number=telling.order_number,
        data=telling.data,
        agent=telling.agent or _NOBODY,
        context=telling.context,
    )
    if telling.agent is None:
        payload["data"]["agent_identities"] = []
    return [Body(payload)]


def _inkbox_headers(keys: Sequence[str], posting: Posting) -> dict[str, str]:
    """The vendor's headers and beside them those of Standard Webhooks, each with its own signature."""
    newest, timestamp, body = keys[0] if keys else None, posting.timestamp, posting.body
    return {
        **inkbox.webhook_headers(newest, request_id=posting.request_id, timestamp=timestamp, body=body),
        **standard_headers(keys, event_id=posting.told_id, timestamp=timestamp, body=body),
    }


VENDORS: Mapping[str, Vendor] = {
    "inkbox": Vendor(
        label="Inkbox",
        events=inkbox.WEBHOOK_EVENTS,
        payloads=_inkbox_payloads,
        headers=_inkbox_headers,
        signature_headers=("webhook-signature", inkbox.SIGNATURE_HEADER),
        schedule=SCHEDULE,
        own_secret=False,
        numbered=True,
        chooses_events=True,
        names_contact=True,
    ),
    "agentphone": Vendor(
        label="AgentPhone",
        events=agentphone.WEBHOOK_EVENTS,
        payloads=agentphone.webhook_payloads,
        headers=agentphone.webhook_headers,
        signature_headers=(agentphone.SIGNATURE_HEADER,),
        schedule=AGENTPHONE_SCHEDULE,
        at_most_one=True,
        names_contact=True,
        has_limits=True,
    ),
    "contiguity": Vendor(
        label="Contiguity",
        events=contiguity.WEBHOOK_EVENTS,
        payloads=contiguity.webhook_payloads,
        headers=contiguity.webhook_headers,
        signature_headers=(contiguity.SIGNATURE_HEADER,),
        schedule=SCHEDULE,
    ),
}


def schedule_of(dialect: str) -> Schedule:
    """When deliveries to endpoints of this dialect are tried again."""
    return VENDORS[dialect].schedule
