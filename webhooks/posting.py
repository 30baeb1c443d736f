"""One request to one endpoint: written in its dialect, signed, posted through the guarded door, and judged."""

import time
from datetime import timedelta

from django.utils import timezone

from core.http import OutboundFailed, OutboundRefused, Response, fetch_async
from core.ids import prefixed, uuid7
from dialects.webhooks import Posting
from webhooks import causes
from webhooks.claiming import Claim, Outcome
from webhooks.models import Attempt
from webhooks.schedule import retry_after
from webhooks.signing import fingerprint
from webhooks.vendors import VENDORS

KEPT_OF_ANSWER = 4096

_HIDDEN = {
    "authorization",
    *(name.lower() for vendor in VENDORS.values() for name in vendor.signature_headers),
}


async def post(claim: Claim, *, deadline: float) -> Outcome:
    """Send the delivery once and say what came of it; never raises for what the endpoint does. Stores nothing."""
    attempt = Attempt(
        id=uuid7(),
        organization_id=claim.organization_id,
        identity_id=claim.identity_id,
        subscription_id=claim.subscription_id,
        delivery_id=claim.id,
        number=claim.attempts_made + 1,
        url=claim.url,
        is_replay=claim.is_replay,
        signed_by=[fingerprint(key) for key in claim.keys],
        at=timezone.now(),
    )
    body = claim.body.encode()
    headers = headers_of(claim, attempt, body)
    attempt.request_headers = {
        name: "(hidden)" if name.lower() in _HIDDEN else value for name, value in headers.items()
    }
    try:
        response = await fetch_async("POST", claim.url, headers=headers, body=body, deadline=deadline)
    except OutboundRefused as refused:
        attempt.error_detail = refused.message[:300]
        attempt.cause = causes.of_failure(refused)
        attempt.duration_ms = 0
        return Outcome(claim, attempt)
    except OutboundFailed as failed:
        attempt.error_detail = failed.detail[:300]
        attempt.cause = causes.of_failure(failed)
        attempt.duration_ms = failed.duration_ms
        return Outcome(claim, attempt)
    return Outcome(claim, attempt, _note(attempt, response))


def headers_of(claim: Claim, attempt: Attempt, body: bytes) -> dict[str, str]:
    """The dialect's headers, signed anew for each attempt, and the endpoint's own token."""
    posting = Posting(
        request_id=attempt.request_id,
        told_id=claim.told_id or prefixed("evt", claim.event_id),
        event_type=claim.event_type,
        timestamp=int(time.time()),
        body=body,
    )
    return {
        "Content-Type": "application/json",
        **VENDORS[claim.dialect].headers(claim.keys, posting),
        **({"Authorization": f"Bearer {claim.auth_token}"} if claim.auth_token else {}),
    }


def _note(attempt: Attempt, response: Response) -> timedelta | None:
    """Keep the answer; how long it asks us to stay away, unless it is a success."""
    attempt.response_status = response.status
    attempt.cause = causes.of_status(response.status)
    attempt.duration_ms = response.duration_ms
    # PostgreSQL keeps no NUL.
    attempt.response_body = response.body[:KEPT_OF_ANSWER].decode("utf-8", "replace").replace("\x00", "\ufffd")
    if attempt.succeeded or "retry-after" not in response.headers:
        return None
    return retry_after(response.headers["retry-after"], now=timezone.now())
