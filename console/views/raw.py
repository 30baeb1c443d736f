"""What is stored of a thread, as JSON."""

from typing import cast
from uuid import UUID

import orjson
from django.core.exceptions import ValidationError
from django.http import HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from console.entry import PageRequest, page, seen_by
from console.thread.raw import event_lines, message_json
from core.actor import Actor
from core.errors import NotFound
from imessage.history import live_and_kept
from imessage.models import Conversation, Message


@page
@require_safe
def show_raw(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """The thread's events as JSON lines; with `message` that one message as JSON."""
    thread: Conversation = seen_by(actor, Conversation, pk)
    if wanted := request.GET.get("message"):
        return _message(actor, thread, wanted)
    response = StreamingHttpResponse(event_lines(actor, thread), content_type="application/x-ndjson")
    kind = "attachment" if request.GET.get("download") else "inline"
    response["Content-Disposition"] = f'{kind}; filename="thread-{thread.id}.ndjson"'
    return cast(HttpResponse, response)  # the door sets headers alone, which both have


def _message(actor: Actor, thread: Conversation, wanted: str) -> HttpResponse:
    try:
        rows = Message.objects.visible_to(actor).filter(conversation=thread, pk=wanted)
        message = live_and_kept(rows).first()
    except (ValueError, ValidationError) as odd:
        raise NotFound() from odd
    if message is None:
        raise NotFound()
    body = orjson.dumps(message_json(actor, message), option=orjson.OPT_INDENT_2, default=str)
    return HttpResponse(body, content_type="application/json")
