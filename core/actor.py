"""Who is acting: one small frozen value that every operation takes first and every read is narrowed by."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeVar
from uuid import UUID

from django.db import models

from core.errors import Forbidden


class Role(StrEnum):
    """What an actor may do, strongest first."""

    OPERATOR = "operator"  # of the installation: sees every organization, and the lines
    ADMIN = "admin"  # of one organization: its members and its admin keys
    VIEWER = "viewer"  # reads one organization
    AGENT = "agent"  # a key bound to one identity: never sees a blocked row


_RANK = {Role.AGENT: 0, Role.VIEWER: 1, Role.ADMIN: 2, Role.OPERATOR: 3}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `kind` is `user`, `api_key`, `human` or `system`; `id` its id as text; `label` what people read."""

    role: Role
    kind: str
    id: str
    label: str
    organization_id: UUID | None = None
    identity_id: UUID | None = None

    @classmethod
    def system(cls, label: str) -> Self:
        """The product itself, doing what nobody asked for just now: a drain, a callback, a sweep."""
        return cls(role=Role.OPERATOR, kind="system", id=label, label=label)

    @property
    def is_agent(self) -> bool:
        return self.role is Role.AGENT

    def require(self, role: Role) -> None:
        """Raise `Forbidden` unless the actor holds at least `role`."""
        if not self.may(role):
            raise Forbidden()

    def may(self, role: Role) -> bool:
        """Whether the actor holds at least `role`."""
        return _RANK[self.role] >= _RANK[role]

    def frozen(self) -> dict[str, str]:
        """What an event keeps of the actor."""
        return {"kind": self.kind, "id": self.id, "label": self.label}


Row = TypeVar("Row", bound=models.Model, covariant=True)


class TenantQuerySet(models.QuerySet[Row]):
    """Rows of a tenant table; `visible_to` is the only door by which surfaces read them."""

    agent_column = "identity_id"

    def visible_to(self, actor: Actor) -> Self:
        """The rows this actor may see; what it may not see does not exist for it."""
        if actor.role is Role.OPERATOR:
            return self
        rows = self.filter(organization_id=actor.organization_id)
        return rows.visible_to_agent(actor) if actor.is_agent else rows

    def visible_to_agent(self, actor: Actor) -> Self:
        """The rows of the actor's own identity; tables with blocked rows hide those here."""
        return self.filter(**{self.agent_column: actor.identity_id})
