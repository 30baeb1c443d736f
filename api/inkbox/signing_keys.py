"""What signs webhooks, per identity, and for clients of June 2026 per organization (contract/inkbox.md, section 14)."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Router

from api.auth import actor_of, key_of
from api.idempotency import IDEMPOTENT, Answer, create_once
from api.inkbox.answers import KeyStatus as KeyStatusAnswer
from api.inkbox.answers import NewSigningKey, answers
from api.inkbox.finding import owned_identity
from api.parsing import respond
from core.errors import Conflict
from dialects import inkbox
from imessage.shapes import iso
from webhooks.models import SigningKey
from webhooks.signing import (
    KeyStatus,
    key_status,
    organization_key_status,
    rotate_key,
    rotate_organization_key,
)

router = Router(tags=["Signing keys"])

_OF_IDENTITY = "/identities/{handle}/signing-key"
_OPERATION = "signing_key.rotate"


@router.get(_OF_IDENTITY, response=answers(200, KeyStatusAnswer, 403, 404))
def get(request: HttpRequest, handle: str) -> HttpResponse:
    """Whether the identity's webhooks are signed, and since when by the present key."""
    _, identity = owned_identity(request, handle)
    return respond(_status(key_status(identity)))


@router.post(_OF_IDENTITY, openapi_extra=IDEMPOTENT, response=answers(201, NewSigningKey, 403, 404, 409))
def rotate(request: HttpRequest, handle: str) -> HttpResponse:
    """Make or replace the identity's key, shown this once; the former one signs beside it for 24 hours."""
    actor, identity = owned_identity(request, handle)
    return create_once(
        request, operation=_OPERATION, asked={}, deed=lambda: _created(*rotate_key(actor, identity)), sealed=True
    )


@router.get("/signing-keys", response=answers(200, KeyStatusAnswer))
def get_any(request: HttpRequest) -> HttpResponse:
    """Whether a key of the calling key's identity, or of any of its organization, is set up."""
    return respond(_status(organization_key_status(actor_of(request), key_of(request).organization)))


@router.post("/signing-keys", openapi_extra=IDEMPOTENT, response=answers(201, NewSigningKey, 403, 409))
def rotate_any(request: HttpRequest) -> HttpResponse:
    """Make or replace the key of the calling key's identity, or with an admin key that of the organization.

    Of the latter and an identity's own key the newer one signs; a server may refuse it (409).
    """
    return create_once(request, operation=_OPERATION, asked={}, deed=lambda: _created(*_rotated(request)), sealed=True)


def _rotated(request: HttpRequest) -> tuple[SigningKey, str]:
    actor, key = actor_of(request), key_of(request)
    if key.identity:
        return rotate_key(actor, key.identity)
    if not settings.ORGANIZATION_SIGNING_KEYS:
        raise Conflict("Signing keys belong to identities here: POST /api/v1/identities/{handle}/signing-key.")
    return rotate_organization_key(actor, key.organization)


def _created(key: SigningKey, plaintext: str) -> Answer:
    return Answer.created(inkbox.signing_key(plaintext, created_at=iso(key.created_at)), key.id)


def _status(status: KeyStatus) -> dict[str, object]:
    return inkbox.signing_key_status(configured=status.configured, created_at=iso(status.created_at))
