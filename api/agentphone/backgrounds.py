"""The picture behind a conversation (contract/agentphone.md, section 6)."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from api.agentphone.answers import Background, answers
from api.agentphone.finding import conversation_with
from api.agentphone.shapes import thread_shape
from api.auth import actor_of
from api.parsing import Body, WebUrl, respond
from dialects import agentphone
from imessage.keeping import remove_background, set_background

router = Router(tags=["Conversations"])


class NewBackground(Body):
    image_url: WebUrl


@router.post("/conversations/{conversation_id}/background", response=answers(200, Background, 403, 404, 409, 502))
def put_background(request: HttpRequest, conversation_id: str, body: NewBackground) -> HttpResponse:
    """Put a picture behind the conversation; the one that is there already changes nothing."""
    actor = actor_of(request)
    conversation = conversation_with(actor, conversation_id)
    changed = set_background(actor, conversation, body.image_url)
    shape = thread_shape(conversation_with(actor, conversation_id))
    return respond(agentphone.background(shape, changed=changed))


@router.delete("/conversations/{conversation_id}/background", response=answers(204, None, 403, 404, 409, 502))
def delete_background(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Take the picture away, if there is one."""
    actor = actor_of(request)
    remove_background(actor, conversation_with(actor, conversation_id))
    return HttpResponse(status=204)
