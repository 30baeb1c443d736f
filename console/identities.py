"""What the pages about identities show beyond their rows: how busy, how full and how well each one is."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, OuterRef, Q, Subquery

from accounts.models import Identity
from core.actor import Actor
from imessage.models import Connection, Conversation
from imessage.sending import CAP, used_of_caps
from webhooks.models import Subscription

# A budget with fewer left than this is worth a mark.
LOW = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """One identity as it stands now; `endpoint` is the word for the worst of its webhooks, empty without any."""

    identity: Identity
    connections: int
    waiting: int
    used: int
    last_at: datetime | None
    endpoint: str

    @property
    def left(self) -> int:
        """Sends left of the cap."""
        return max(0, CAP - self.used)

    @property
    def is_low(self) -> bool:
        return self.left < LOW

    @property
    def state(self) -> str:
        """In one word: whether humans reach it."""
        if self.identity.status != Identity.Status.ACTIVE:
            return str(self.identity.status)
        return "on" if self.identity.imessage_enabled else "off"


def standings(actor: Actor, identities: list[Identity]) -> list[Standing]:
    """The identities in their order, with a fixed number of queries for all of them."""
    ids = [identity.id for identity in identities]
    active = _counted(Connection.objects.visible_to(actor).filter(identity__in=ids, status=Connection.Status.ACTIVE))
    waiting = _counted(Conversation.objects.visible_to(actor).filter(identity__in=ids, waiting_since__isnull=False))
    used = used_of_caps(ids)
    last = _last(actor, ids)
    endpoints = _endpoints(actor, identities)
    return [
        Standing(
            identity=identity,
            connections=active.get(identity.id, 0),
            waiting=waiting.get(identity.id, 0),
            used=used.get(identity.id, 0),
            last_at=last.get(identity.id),
            endpoint=endpoints.get(identity.id, ""),
        )
        for identity in identities
    ]


def _counted(rows: object) -> dict[UUID, int]:
    counted = rows.order_by().values("identity_id").annotate(many=Count("pk"))  # type: ignore[attr-defined]
    return {row["identity_id"]: row["many"] for row in counted}


def _last(actor: Actor, ids: list[UUID]) -> dict[UUID, datetime]:
    """When something the agent may see was last said; the index on it gives one row per identity."""
    newest = (
        Conversation.objects.visible_to(actor)
        .filter(identity=OuterRef("pk"), visible_last_at__isnull=False)
        .order_by("-visible_last_at", "-id")
    )
    rows = Identity.objects.visible_to(actor).filter(pk__in=ids)
    dated = rows.annotate(last_at=Subquery(newest.values("visible_last_at")[:1]))
    return {key: at for key, at in dated.values_list("pk", "last_at") if at}


# From bad to good.
_WORST_FIRST = ("disabled", "failing", "working")


def _endpoints(actor: Actor, identities: list[Identity]) -> dict[UUID, str]:
    """The word for the worst of what each identity's events go to, its own endpoints and those of all agents."""
    ids = {identity.id: identity.organization_id for identity in identities}
    of_all = Q(identity=None, organization__in=set(ids.values()))
    rows = Subscription.objects.visible_to(actor).kept().filter(Q(identity__in=ids) | of_all)
    words: dict[tuple[UUID | None, UUID], set[str]] = {}
    for row in rows.only("identity_id", "organization_id", "status", "failing_since"):
        word = "disabled" if not row.is_active else "failing" if row.failing_since else "working"
        words.setdefault((row.identity_id, row.organization_id), set()).add(word)
    found = {key: words.get((key, owner), set()) | words.get((None, owner), set()) for key, owner in ids.items()}
    return {key: min(said, key=_WORST_FIRST.index) for key, said in found.items() if said}
