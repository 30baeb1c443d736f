"""Files that agents upload to send them (contract/inkbox.md, section 9)."""

import hashlib

from django.http import HttpRequest, HttpResponse
from ninja import File, Router
from ninja.files import UploadedFile

from api.auth import actor_of
from api.idempotency import IDEMPOTENT, Answer, create_once
from api.inkbox.answers import UploadedMedia, answers
from core.actor import Actor
from imessage import media
from imessage.models import MediaFile

router = Router(tags=["Media"])


_NOT_EMPTY = {"content": {"multipart/form-data": {"schema": {"properties": {"file": {"minLength": 1}}}}}}


@router.post(
    "/media",
    openapi_extra=IDEMPOTENT | {"requestBody": _NOT_EMPTY},
    response=answers(201, UploadedMedia, 403, 409, 413),
)
def upload(request: HttpRequest, file: File[UploadedFile]) -> HttpResponse:
    """Keep a file of at most 10 MiB; its link may stand in `media_urls` of a message."""
    actor = actor_of(request)
    asked = {"name": file.name, "type": file.content_type, "sha256": _sha256(file)}
    given = {"name": file.name or "", "declared_type": file.content_type or ""}
    # The storage may be far away: no transaction is open while it takes the bytes.
    with media.upload(actor, **given, chunks=file.chunks()) as stored:
        return create_once(request, operation="media.upload", asked=asked, deed=lambda: _kept(actor, stored))


def _kept(actor: Actor, file: MediaFile) -> Answer:
    media.keep_upload(actor, file)
    shown = {"media_url": media.media_url(file), "content_type": file.content_type or None, "size": file.size}
    return Answer.created(shown, file.id)


def _sha256(file: UploadedFile) -> str:
    summed = hashlib.sha256()
    for chunk in file.chunks():
        summed.update(chunk)
    return summed.hexdigest()
