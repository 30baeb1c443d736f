"""Saved views of lists: a filter under a name, for oneself or for everybody in the organization."""

import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from console.lists import FilterSpec, Listing
from console.models import SavedView
from core.actor import Actor, Role
from core.errors import Conflict, Forbidden, Invalid
from core.texts import storable
from events.record import record

LONGEST = 60


class NameTaken(Conflict):
    """There is a view of this name already."""

    code = "name_taken"


def save_view(actor: Actor, listing: Listing, *, name: str, is_shared: bool) -> SavedView:
    """Keep what a listing asks for. Raises `NameTaken`, `Invalid` for a name that is none or an odd filter,
    `Forbidden` when a viewer would share."""
    _require_sharer(actor, is_shared)
    if listing.unknown:
        raise Invalid("The filter holds something that was not understood; take it away first.")
    view = SavedView(
        organization_id=actor.organization_id,
        user_id=UUID(actor.id),
        list_name=listing.spec.name,
        query=listing.full_query,
        is_shared=is_shared,
    )
    _name(view, listing.spec, name)
    with _unless_taken(view), transaction.atomic():
        view.save(force_insert=True)
        record(actor, "view.saved", **_facts(view))
    return view


def change_view(actor: Actor, view: SavedView, spec: FilterSpec, *, name: str, is_shared: bool) -> SavedView:
    """Rename, share or stop sharing. Raises as `save_view`, `Forbidden` for somebody else's."""
    _require_owner(actor, view)
    _require_sharer(actor, is_shared)
    _name(view, spec, name)
    view.is_shared, view.updated_at = is_shared, timezone.now()
    with _unless_taken(view), transaction.atomic():
        view.save(update_fields=["name", "slug", "is_shared", "updated_at"])
        record(actor, "view.changed", **_facts(view))
    return view


def delete_view(actor: Actor, view: SavedView) -> None:
    """Take a view away; links that spell its filter out go on working. Raises `Forbidden` for somebody else's."""
    _require_owner(actor, view)
    with transaction.atomic():
        record(actor, "view.deleted", **_facts(view))
        view.delete()


def may_change(actor: Actor, view: SavedView) -> bool:
    """Its maker; a shared one also the admins it is shared with."""
    return str(view.user_id) == actor.id or (view.is_shared and actor.may(Role.ADMIN))


def _require_owner(actor: Actor, view: SavedView) -> None:
    if not may_change(actor, view):
        raise Forbidden()


def _require_sharer(actor: Actor, is_shared: bool) -> None:
    if is_shared:
        actor.require(Role.ADMIN)


def _name(view: SavedView, spec: FilterSpec, name: str) -> None:
    name = storable(name.strip())
    slug = slugify(name)[:LONGEST]
    if not slug or len(name) > LONGEST:
        raise Invalid(f"A view's name has 1 to {LONGEST} characters, with a letter or a digit among them.")
    if slug in {built_in.slug for built_in in spec.views}:
        raise NameTaken(f"This list has a view {name!r} already.")
    view.name, view.slug = name, slug


@contextlib.contextmanager
def _unless_taken(view: SavedView) -> Iterator[None]:
    try:
        yield
    except IntegrityError as taken:
        raise NameTaken(f"There is a view {view.name!r} already.") from taken


def _facts(view: SavedView) -> dict[str, Any]:
    data = {"list": view.list_name, "name": view.name, "query": view.query, "is_shared": view.is_shared}
    return {"organization_id": view.organization_id, "subject_id": view.id, "data": data}
