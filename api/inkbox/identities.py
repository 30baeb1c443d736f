"""Agent identities (contract/inkbox.md, section 6)."""

from typing import Annotated, Any, Literal, Self

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import AfterValidator, ConfigDict, Field, StrictBool, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from accounts.identities import create_identity, normal_handle, rename_identity, update_identity
from accounts.models import Identity
from api.auth import actor_of, key_of
from api.idempotency import IDEMPOTENT, Answer, create_once
from api.inkbox.answers import Identity as IdentityAnswer
from api.inkbox.answers import answers
from api.inkbox.finding import identity_named, own_lines
from api.parsing import TEXT, Body, Documented, respond, said_by
from api.shapes import identity_shape
from contactrules.rules import set_filter_mode
from core.actor import Actor
from dialects import inkbox
from imessage.connecting import delete_identity
from webhooks.signing import key_status, key_statuses

router = Router(tags=["Identities"])

SELF = "self"


def _refuse_claim(asked: bool | None) -> None:
    if asked:
        raise PydanticCustomError(
            "not_supported", "Dedicated lines carry no conversations here yet; leave claim_imessage_number out."
        )


def _refuse_line(line_id: object) -> None:
    if line_id is not None:
        raise PydanticCustomError(
            "not_supported", "Dedicated lines carry no conversations here yet; pass null as imessage_number_id."
        )


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
NoClaim = Annotated[bool | None, AfterValidator(_refuse_claim), WithJsonSchema({"enum": [False, None]})]
NoLine = Annotated[Any, AfterValidator(_refuse_line), WithJsonSchema({"type": "null"})]

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
    claim_imessage_number: NoClaim = None


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
    claim_imessage_number: NoClaim = None
    imessage_number_id: NoLine = None

    @model_validator(mode="after")
    def _one_word_for_each_mode(self) -> Self:
        given = self.model_fields_set
        if given & _SHARED_MODES and given & set(_SIDE_MODES):
            raise PydanticCustomError("modes", "Give the filter mode of both directions, or of each; not both.")
        if given >= _SHARED_MODES and self.imessage_filter_mode != self.phone_filter_mode:
            raise PydanticCustomError("modes", "imessage_filter_mode and phone_filter_mode must agree.")
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


@router.post("/identities/", openapi_extra=IDEMPOTENT, response=answers(201, IdentityAnswer, 403, 409))
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


@router.patch("/identities/{handle}", response=answers(200, IdentityAnswer, 403, 404, 409))
def update(request: HttpRequest, handle: str, body: IdentityChanges) -> HttpResponse:
    """Change what is given; the filter modes and the handle only with an admin key."""
    actor = actor_of(request)
    return respond(_shown(actor, _changed(actor, identity_named(actor, handle), body)))


@router.delete("/identities/{handle}", response=answers(204, None, 403, 404))
def delete(request: HttpRequest, handle: str) -> HttpResponse:
    """End an identity: its connections, keys and subscriptions end, its handle stays taken; admin keys only."""
    actor = actor_of(request)
    delete_identity(actor, identity_named(actor, handle))
    return HttpResponse(status=204)


def _created(request: HttpRequest, body: NewIdentity) -> Answer:
    actor = actor_of(request)
    identity = create_identity(
        actor,
        organization=key_of(request).organization,
        handle=body.agent_handle,
        display_name=body.display_name,
        description=body.description,
        imessage_enabled=body.imessage_enabled,
    )
    return Answer.created(_shown(actor, identity), identity.id)


def _changed(actor: Actor, identity: Identity, body: IdentityChanges) -> Identity:
    with transaction.atomic():
        if body.agent_handle:
            identity = rename_identity(actor, identity, handle=body.agent_handle)
        for direction, mode in body.modes().items():
            identity = set_filter_mode(actor, identity, mode=mode, direction=direction)
        return update_identity(actor, identity, changes=body.words(identity))


def _shown(actor: Actor, identity: Identity) -> dict[str, Any]:
    line = next(iter(own_lines(actor, [identity])[identity.id]), None)
    return inkbox.identity(identity_shape(identity, key_status(identity), line))
