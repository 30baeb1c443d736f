"""What happened, once: outbox, audit trail and live feed are readings of this one table."""

from typing import Self

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone

from core.actor import Actor, TenantQuerySet
from core.ids import prefixed, uuid7


class Xid8Field(models.BigIntegerField):  # type: ignore[type-arg]
    """PostgreSQL's 64-bit transaction id; tells readers which lower numbers may still be uncommitted."""

    def db_type(self, connection: object) -> str:
        return "xid8"


_TRAFFIC = models.Q(type__startswith="message.") | models.Q(type__startswith="tapback.")


class EventQuerySet(TenantQuerySet["Event"]):
    def visible_to_agent(self, actor: Actor) -> Self:
        """What is blocked, and what people do about it, an agent must never see."""
        about_blocked = Q(type__endswith=".blocked") | Q(type__startswith="review.") | Q(type__startswith="release.")
        return self.filter(identity_id=actor.identity_id).exclude(about_blocked)

    def of_deeds(self) -> Self:
        """What people and programs did to how things are set up, without the traffic itself."""
        return self.exclude(_TRAFFIC)

    def settled(self) -> Self:
        """Events below which nothing can appear any more: for readers that must miss nothing (architecture 10)."""
        snapshot = models.Func(function="pg_current_snapshot", output_field=models.TextField())
        return self.filter(xid__lt=models.Func(snapshot, function="pg_snapshot_xmin", output_field=Xid8Field()))


class Event(models.Model):
    """One thing that happened, written in the transaction that did it. Append only, no foreign keys."""

    number = models.BigAutoField(primary_key=True)
    id = models.UUIDField(default=uuid7, unique=True, editable=False)
    type = models.CharField(max_length=60)
    organization_id = models.UUIDField(null=True)
    identity_id = models.UUIDField(null=True)
    conversation_id = models.UUIDField(null=True)
    subject_id = models.CharField(max_length=60, blank=True, help_text="Id of the row it is about.")
    actor = models.JSONField()
    data = models.JSONField(encoder=DjangoJSONEncoder)
    at = models.DateTimeField(default=timezone.now)
    xid = Xid8Field(db_default=models.Func(function="pg_current_xact_id", output_field=models.TextField()))

    objects = EventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization_id", "-number"], name="event_org_number"),
            models.Index(fields=["conversation_id", "number"], name="event_conversation_number"),
            # Costs a text on its way nothing: what is said is not in it.
            models.Index(fields=["identity_id", "-number"], name="event_identity_deeds", condition=~_TRAFFIC),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.type}"

    @property
    def public_id(self) -> str:
        """The id that webhooks show: `evt_` and the key in base32."""
        return prefixed("evt", self.id)
