"""Finding the message that an earlier request made, by its idempotency key (contract/inkbox.md 1.4)."""

from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, Field

from api.auth import actor_of
from api.idempotency import KEYED, required_key_of, subject_of
from api.inkbox.answers import FoundMessage, answers
from api.inkbox.finding import identity_with
from api.inkbox.messages import OPERATION
from api.parsing import TEXT, respond
from core.errors import NotFound

router = Router(tags=["Messages"])


class Sought(BaseModel):
    sender_kind: Literal["imessage_identity", "mailbox", "phone_number"]
    sender_id: UUID
    operation: Annotated[str, Field(max_length=40), *TEXT]


@router.get("/message-sends/lookup", openapi_extra=KEYED, response=answers(200, FoundMessage, 404))
def lookup(request: HttpRequest, query: Query[Sought]) -> HttpResponse:
    """The message that the send with this `Idempotency-Key` made; 404 when there was none."""
    key = required_key_of(request)
    if query.sender_kind != "imessage_identity" or query.operation != OPERATION:
        raise NotFound()
    sender = identity_with(actor_of(request), query.sender_id)
    return respond({"message_id": subject_of(scope=sender.id, operation=OPERATION, key=key)})
