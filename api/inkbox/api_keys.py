"""API keys (contract/inkbox.md, section 5)."""

from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import Field

from accounts.keys import create_key, revoke_key
from api.auth import actor_of, key_of
from api.idempotency import IDEMPOTENT, Answer, create_once
from api.inkbox.answers import ApiKey, CreatedApiKey, answers
from api.inkbox.finding import identity_with
from api.parsing import TEXT, Body, respond
from api.shapes import key_shape
from dialects import inkbox

router = Router(tags=["API keys"])


class NewKey(Body):
    label: Annotated[str, Field(min_length=1, max_length=255), *TEXT]
    description: Annotated[str, Field(max_length=1000), *TEXT] | None = None
    scoped_identity_id: UUID | None = None


@router.post("/api-keys", openapi_extra=IDEMPOTENT, response=answers(201, CreatedApiKey, 403, 404, 409))
def create(request: HttpRequest, body: NewKey) -> HttpResponse:
    """A new key for one identity, shown this once; with an admin key only."""
    return create_once(
        request, operation="api_key.create", asked=body, deed=lambda: _created(request, body), sealed=True
    )


@router.get("/api-keys/self", response=answers(200, ApiKey))
def get_self(request: HttpRequest) -> HttpResponse:
    """The calling key."""
    return respond(inkbox.api_key(key_shape(key_of(request))))


@router.post("/api-keys/self/revoke", response=answers(200, ApiKey))
def revoke_self(request: HttpRequest) -> HttpResponse:
    """End the calling key for good; the next request with it answers 401."""
    return respond(inkbox.api_key(key_shape(revoke_key(actor_of(request), key_of(request)))))


def _created(request: HttpRequest, body: NewKey) -> Answer:
    actor = actor_of(request)
    identity = identity_with(actor, body.scoped_identity_id) if body.scoped_identity_id else None
    key, text = create_key(
        actor,
        organization=key_of(request).organization,
        identity=identity,
        label=body.label,
        description=body.description,
    )
    return Answer.created({"api_key": text, "record": inkbox.api_key(key_shape(key))}, key.id)
