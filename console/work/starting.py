"""How long work begins: what it would do is shown first, then the very same rows are written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from console.lists import FilterSpec, Listing
from console.models import Job
from console.work.deeds import EXPORT, Deed
from console.work.telling import tell, wake_job
from core.actor import Actor
from core.errors import Invalid

MOST_CHOSEN = 1000
SAMPLE = 5


class NothingChosen(Invalid):
    """Nothing is selected."""

    code = "nothing_chosen"


class Misunderstood(Invalid):
    """The filter holds something that was not understood; take it away first, so that nothing else is touched."""

    code = "misunderstood"


@dataclass(frozen=True)
class Plan:
    """Rows that work would be about: all that match a listing, or the `chosen` keys among them, as of `at`."""

    listing: Listing
    chosen: Sequence[str] | None
    at: datetime

    @classmethod
    def of(cls, listing: Listing, *, chosen: Sequence[str] | None, at: datetime | None = None) -> "Plan":
        """Raises `NothingChosen` for an empty selection, `Misunderstood` for a filter with unknown parts."""
        if chosen is None and listing.unknown:
            raise Misunderstood()
        if chosen is not None:
            chosen = _keys(listing.spec, listing.actor, chosen)
        return cls(listing, chosen, min(at or timezone.now(), timezone.now()))

    @cached_property
    def rows(self) -> QuerySet[Any]:
        return planned_rows(self.listing, self.chosen, self.at)

    @cached_property
    def count(self) -> int:
        """Exactly how many there are."""
        return self.rows.order_by().count()

    @cached_property
    def sample(self) -> list[Any]:
        """The first few, in the list's order."""
        return list(self.rows.order_by("-pk")[:SAMPLE])

    @property
    def words(self) -> str:
        """What they are, for people."""
        if self.chosen is not None:
            return f"{len(self.chosen)} selected"
        return self.listing.words or f"All {self.listing.spec.nouns[1]}"


def planned_rows(listing: Listing, chosen: Sequence[str] | None, at: datetime) -> QuerySet[Any]:
    """A selection is taken as it was selected, whether or not it still matches; later rows are left alone."""
    if chosen is not None:
        return listing.spec.rows(listing.actor).filter(pk__in=chosen)
    return listing.rows.filter(**{f"{listing.spec.created}__lte": at})


def start_job(actor: Actor, deed: Deed, plan: Plan, *, options: Mapping[str, Any], reason: str = "") -> Job:
    """Begin a deed on the planned rows. Raises `Forbidden` when the actor's role does not allow it."""
    actor.require(deed.role)
    now = timezone.now()
    held_until = now + timedelta(seconds=deed.hold) if deed.hold else None
    return _create(actor, plan, deed=deed.name, options=dict(options), reason=reason, held_until=held_until)


def start_export(actor: Actor, plan: Plan, *, format: str) -> Job:
    """Begin to write the planned rows into a file, with numbers masked as pages show them to this actor."""
    return _create(actor, plan, deed=EXPORT, options={"format": format})


def _create(actor: Actor, plan: Plan, **fields: Any) -> Job:
    listing = plan.listing
    job = Job(
        organization_id=actor.organization_id,
        user_id=UUID(actor.id),
        who=actor.label,
        list_name=listing.spec.name,
        query=listing.fixed_query,
        chosen=list(plan.chosen) if plan.chosen is not None else None,
        words=plan.words,
        snapshot_at=plan.at,
        expected=plan.count,
        **fields,
    )
    with transaction.atomic():
        job.save(force_insert=True)
        tell(actor, "job.started", job, expected=job.expected, words=job.words, reason=job.reason, options=job.options)
        wake_job(job.id)
    return job


def _keys(spec: FilterSpec, actor: Actor, chosen: Sequence[str]) -> list[str]:
    """The selection's keys, checked to be keys."""
    key = spec.rows(actor).model._meta.pk
    try:
        keys = list(dict.fromkeys(str(key.to_python(text)) for text in chosen))
    except (ValidationError, ValueError, OverflowError) as odd:
        raise Invalid("The selection holds something that is no row.") from odd
    if not keys:
        raise NothingChosen()
    if len(keys) > MOST_CHOSEN:
        raise Invalid(f"Select at most {MOST_CHOSEN} rows, or all that match.")
    return keys
