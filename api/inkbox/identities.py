"""Agent identities (contract/inkbox.md, section 6)."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from accounts.identities import create_identity, normal_handle, rename_identity, update_identity
from accounts.models import Identity
from api.auth import actor_of, key_of
from api.idempotency import IDEMPOTENT, Answer, create_once, required_key_of
from api.inkbox.answers import Identity as IdentityAnswer
from api.inkbox.answers import answers
from api.inkbox.finding import identity_named, line_with, own_lines
from api.parsing import TEXT, Body, Documented, respond, said_by
from api.shapes import identity_shape
from contactrules.rules import set_filter_mode
from core.actor import Actor
from dialects import inkbox
from imessage.connecting import delete_identity
from imessage.owning import attach, detach
from lines.claiming import claim_line
from lines.models import Line
from webhooks.signing import key_status, key_statuses

router = Router(tags=["Identities"])

SELF = "self"


# The filter modes that a client may name, and the direction each is for: numbers share one policy (12.3).
_MODES = {
    "imessage_filter_mode": "both",
    "phone_filter_mode": "both",
    "phone_inbound_filter_mode": "inbound",
    "phone_outbound_filter_mode": "outbound",
}
_SHARED_MODES = {"imessage_filter_mode", "phone_filter_mode"}
_SIDE_MODES = ("phone_inbound_filter_mode", "phone_outbound_filter_mode")

Handle = Annotated[str, said_by(normal_handle), Documented(pattern="^@?[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")]
DisplayName = Annotated[str, Field(max_length=255), *TEXT]
Description = Annotated[str, Field(max_length=10_000), *TEXT]

# In the document: one filter mode for both directions, or one for each.
_ALL_MODES: dict[str, Any] = {
    "oneOf": [
        {"properties": dict.fromkeys(_MODES.keys() - _SHARED_MODES, False)},
        {
            "properties": dict.fromkeys(_SHARED_MODES, False),
            "anyOf": [{"required": [name]} for name in _SIDE_MODES],
        },
    ],
    "not": {
        "anyOf": [
            {
                "required": sorted(_SHARED_MODES),
                "properties": {"imessage_filter_mode": {"const": one}, "phone_filter_mode": {"const": other}},
            }
            for one, other in (("blacklist", "whitelist"), ("whitelist", "blacklist"))
        ]
    },
}


class NewIdentity(Body):
    agent_handle: Handle
    display_name: DisplayName | None = None
    description: Description | None = None
    imessage_enabled: StrictBool = False
    claim_imessage_number: StrictBool | None = None

    @model_validator(mode="after")
    def _number_for_imessage(self) -> Self:
        if self.claim_imessage_number and not self.imessage_enabled:
            raise PydanticCustomError("claim", "claim_imessage_number goes with imessage_enabled.")
        return self


class IdentityChanges(Body):
    """Fields that are left out stay as they are; their defaults here are never written."""

    model_config = ConfigDict(json_schema_extra=_ALL_MODES)

    agent_handle: Handle | None = None
    display_name: DisplayName | None = None
    description: Description | None = None
    imessage_enabled: StrictBool = False
    imessage_filter_mode: Identity.FilterMode = Identity.FilterMode.BLACKLIST
    phone_filter_mode: Identity.FilterMode = Identity.FilterMode.BLACKLIST
    phone_inbound_filter_mode: Identity.FilterMode = Identity.FilterMode.BLACKLIST
    phone_outbound_filter_mode: Identity.FilterMode = Identity.FilterMode.BLACKLIST
    status: Literal["active", "paused"] = "active"
    claim_imessage_number: StrictBool | None = None
    imessage_number_id: UUID | None = None

    @model_validator(mode="after")
    def _one_word_for_each_mode(self) -> Self:
        given = self.model_fields_set
        if given & _SHARED_MODES and given & set(_SIDE_MODES):
            raise PydanticCustomError("modes", "Give the filter mode of both directions, or of each; not both.")
        if given >= _SHARED_MODES and self.imessage_filter_mode != self.phone_filter_mode:
            raise PydanticCustomError("modes", "imessage_filter_mode and phone_filter_mode must agree.")
        return self

    @model_validator(mode="after")
    def _one_word_for_the_number(self) -> Self:
        if self.claim_imessage_number and "imessage_number_id" in self.model_fields_set:
            raise PydanticCustomError("claim", "Claim a number, or name one in imessage_number_id; not both.")
        return self

    def modes(self) -> dict[str, Identity.FilterMode]:
        """The filter modes to set, by the direction they are for."""
        return {_MODES[name]: getattr(self, name) for name in _MODES if name in self.model_fields_set}

    def words(self, identity: Identity) -> dict[str, Any]:
        """The changes that `update_identity` makes; a cleared name falls back to the handle."""
        changes = self.model_dump(
            include={"display_name", "description", "imessage_enabled", "status"}, exclude_unset=True
        )
        if "display_name" in changes:
            changes["display_name"] = changes["display_name"] or identity.handle
        return changes


@router.get("/identities/", response=answers(200, list[IdentityAnswer]))
@router.get("/identities", include_in_schema=False)
def list_identities(request: HttpRequest) -> HttpResponse:
    """The caller's identities, newest first; deleted ones are left out."""
    actor = actor_of(request)
    rows = Identity.objects.visible_to(actor).live().order_by("-created_at", "-id")
    signed, own = key_statuses(rows), own_lines(actor, rows)
    return respond(
        [inkbox.identity(identity_shape(found, signed[found.id], next(iter(own[found.id]), None))) for found in rows]
    )


@router.post("/identities/", openapi_extra=IDEMPOTENT, response=answers(201, IdentityAnswer, 402, 403, 409))
@router.post("/identities", include_in_schema=False)
def create(request: HttpRequest, body: NewIdentity) -> HttpResponse:
    """A new identity; admin keys only."""
    return create_once(request, operation="identity.create", asked=body, deed=lambda: _created(request, body))


@router.get("/identities/{handle}", response=answers(200, IdentityAnswer, 404))
def get(request: HttpRequest, handle: str) -> HttpResponse:
    """One identity; `self` is the one that the calling key is bound to."""
    own = key_of(request).identity
    if own and handle == SELF:
        return respond(_shown(actor_of(request), own))
    return respond(_shown(actor_of(request), identity_named(actor_of(request), handle)))


@router.patch(
    "/identities/{handle}", openapi_extra=IDEMPOTENT, response=answers(200, IdentityAnswer, 402, 403, 404, 409)
)
def update(request: HttpRequest, handle: str, body: IdentityChanges) -> HttpResponse:
    """Change what is given; the filter modes, the handle and the number only with an admin key.

    `imessage_number_id` makes a line its only one, null takes its lines away; a claim needs an `Idempotency-Key`.
    """
    actor = actor_of(request)
    identity = identity_named(actor, handle)
    if not body.claim_imessage_number:
        return respond(_shown(actor, _changed(actor, identity, body)))
    required_key_of(request)
    return create_once(
        request,
        operation="identity.claim",
        asked=body,
        deed=lambda: Answer.changed(_shown(actor, _changed(actor, identity, body)), identity.id),
    )


@router.delete("/identities/{handle}", response=answers(204, None, 403, 404))
def delete(request: HttpRequest, handle: str) -> HttpResponse:
    """End an identity: its connections, keys and subscriptions end, its handle stays taken; admin keys only."""
    actor = actor_of(request)
    delete_identity(actor, identity_named(actor, handle))
    return HttpResponse(status=204)


def _created(request: HttpRequest, body: NewIdentity) -> Answer:
    actor = actor_of(request)
    with transaction.atomic():
        identity = create_identity(
            actor,
            organization=key_of(request).organization,
            handle=body.agent_handle,
            display_name=body.display_name,
            description=body.description,
            imessage_enabled=body.imessage_enabled,
        )
        if body.claim_imessage_number:
            attach(actor, claim_line(actor, organization=identity.organization), identity)
    return Answer.created(_shown(actor, identity), identity.id)


def _changed(actor: Actor, identity: Identity, body: IdentityChanges) -> Identity:
    with transaction.atomic():
        if body.agent_handle:
            identity = rename_identity(actor, identity, handle=body.agent_handle)
        for direction, mode in body.modes().items():
            identity = set_filter_mode(actor, identity, mode=mode, direction=direction)
        identity = update_identity(actor, identity, changes=body.words(identity))
        if body.claim_imessage_number:
            _give_line(actor, identity, claim_line(actor, organization=identity.organization))
        elif "imessage_number_id" in body.model_fields_set:
            _give_line(actor, identity, line_with(actor, body.imessage_number_id) if body.imessage_number_id else None)
        return identity


def _give_line(actor: Actor, identity: Identity, line: Line | None) -> None:
    """Make it the identity's only one, as these clients know no more than one; None: back to the shared lines."""
    own = own_lines(actor, [identity])[identity.id]
    for former in own:
        if former != line:
            detach(actor, former)
    if line is not None and line not in own:
        attach(actor, line, identity)


def _shown(actor: Actor, identity: Identity) -> dict[str, Any]:
    line = next(iter(own_lines(actor, [identity])[identity.id]), None)
    return inkbox.identity(identity_shape(identity, key_status(identity), line))
