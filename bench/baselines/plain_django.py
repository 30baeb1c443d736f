"""A plain Django application on the same tables, without our duties: no key, cap, rule, event, job or idempotency.

One file, Django's default middleware, ORM as a tutorial would write it; served like the product.
"""

import json
import os
import sys
from typing import Any

import django
import uvicorn
from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cordboard.settings")
from cordboard import settings as product

settings.configure(
    SECRET_KEY="plain",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": product.DATABASES["default"] | {"ENGINE": "django.db.backends.postgresql"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "accounts",
        "events",
        "lines",
        "contactrules",
        "imessage",
    ],
    AUTH_USER_MODEL="accounts.User",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    ROOT_URLCONF=__name__,
    STORAGES=product.STORAGES,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import transaction  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402

from imessage.models import Conversation, Message, Part  # noqa: E402


@csrf_exempt
def send(request: HttpRequest) -> JsonResponse:
    """Store a message at the end of its conversation."""
    body = json.loads(request.body)
    with transaction.atomic():
        conversation = (
            Conversation.objects.select_for_update(of=("self",))
            .select_related("connection")
            .get(pk=body["conversation_id"])
        )
        message = Message.objects.create(
            organization_id=conversation.organization_id,
            identity_id=conversation.identity_id,
            conversation=conversation,
            connection=conversation.connection,
            line_id=conversation.connection.line_id,
            human=conversation.human,
            direction="outbound",
            status="queued",
            position=conversation.next_position,
            text=body["text"],
            filter_mode="blacklist",
        )
        Part.objects.create(message=message, index=0, kind="text", text=body["text"])
        conversation.next_position += 1
        conversation.visible_total += 1
        conversation.visible_last = message
        conversation.last_at = conversation.visible_last_at = conversation.updated_at = timezone.now()
        conversation.save()
    return JsonResponse({"message": _shown(message)}, status=201)


def messages(request: HttpRequest) -> JsonResponse:
    """The newest 50 messages of a conversation with their media and tapbacks."""
    rows = Message.objects.filter(conversation_id=request.GET["conversation_id"]).order_by("-position")
    found = rows.prefetch_related("parts", "tapbacks")[:50]
    return JsonResponse([_shown(message) for message in found], safe=False)


def livez(request: HttpRequest) -> HttpResponse:
    """It answers."""
    return HttpResponse("alive")


def _shown(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "direction": message.direction,
        "remote_number": message.human,
        "content": message.text,
        "message_type": message.message_type,
        "service": message.service,
        "media": [
            {"url": part.url, "content_type": part.content_type, "size": part.size}
            for part in message.parts.all()
            if part.kind == "media"
        ],
        "status": message.status,
        "is_read": message.is_read,
        "is_blocked": message.is_blocked,
        "reactions": [
            {
                "id": tapback.id,
                "reaction": tapback.kind,
                "part_index": tapback.part_index,
                "created_at": tapback.created_at,
            }
            for tapback in message.tapbacks.all()
        ],
        "created_at": message.created_at,
        "updated_at": message.updated_at,
    }


urlpatterns = [path("send", send), path("messages", messages), path("livez", livez)]

if __name__ == "__main__":
    application: Any = WSGIMiddleware(get_wsgi_application(), workers=8)
    uvicorn.run(
        application, port=int(sys.argv[1]), access_log=False, log_level="warning", interface="asgi3", lifespan="off"
    )
