"""Media to whoever holds a link: never as a page of ours, whatever the bytes are."""

import re
import threading
import time
from collections.abc import Iterator
from typing import IO
from urllib.parse import quote

from django.conf import settings
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from accounts import keys
from imessage.filetypes import EXTENSIONS, INLINE, UNKNOWN
from imessage.links import named_in
from imessage.media import storage
from imessage.models import MediaFile

# Nothing in a file may run, load or frame anything, even where a browser would show it as a page.
_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, max-age=3600",
    "Accept-Ranges": "bytes",
}
_CHUNK = 64 * 1024
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{1,12})?-(?P<last>[0-9]{1,12})?", re.ASCII)

# A webhook may bring a link before the file has been fetched: who follows it waits so long, but only a few at a
# time, for each holds a thread of the site.
_WAITS_FOR = 3.0
_LOOKS_EVERY = 0.1
_waiting = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 4))


@require_safe
def media(request: HttpRequest, path: str) -> HttpResponseBase:
    """The file a current link names; 404 for every other, also for a key in the request that may not see it.

    503 with `Retry-After` while the file is on its way. Ranges are served one at a time.
    """
    named = named_in(path)
    if named is None or not named.is_current:
        return _missing()
    file = _settled(_files_for(request).filter(pk=named.file_id).first())
    if file is None or file.state == MediaFile.State.FAILED:
        return _missing()
    if file.state == MediaFile.State.PENDING:
        return HttpResponse(status=503, headers={"Retry-After": "2", "Cache-Control": "no-store"})
    try:
        return _served(request, file, storage().open(file.path))
    except FileNotFoundError:
        return _missing()


def _missing() -> HttpResponse:
    """The same bytes whatever the reason."""
    return HttpResponse("Not found.\n", status=404, content_type="text/plain", headers={"Cache-Control": "no-store"})


def _files_for(request: HttpRequest) -> models.QuerySet[MediaFile]:
    """Every file, for the link is the right to it; but a key that is shown must be good and see the file."""
    key = request.headers.get("X-API-Key")
    if key is None:
        return MediaFile.objects.all()
    try:
        return MediaFile.objects.visible_to(keys.actor_of(keys.authenticate(key)))
    except keys.BadKey:
        return MediaFile.objects.none()


def _settled(file: MediaFile | None) -> MediaFile | None:
    """The file once it is no longer on its way, or after a short wait."""
    if file is None or file.state != MediaFile.State.PENDING or not _waiting.acquire(blocking=False):
        return file
    try:
        ends = time.monotonic() + _WAITS_FOR
        while file and file.state == MediaFile.State.PENDING and time.monotonic() < ends:
            time.sleep(_LOOKS_EVERY)
            file = MediaFile.objects.filter(pk=file.pk).first()
    finally:
        _waiting.release()
    return file


def _served(request: HttpRequest, file: MediaFile, content: IO[bytes]) -> HttpResponseBase:
    asked = _asked_range(request, file.size)
    first, last = asked or (0, file.size - 1)
    headers = {**_HEADERS, "Content-Disposition": _disposition(file)}
    if first > last or first >= file.size:
        content.close()
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{file.size}"})
    response = StreamingHttpResponse(_slice(content, first, last), content_type=_type(file), headers=headers)
    response["Content-Length"] = str(last - first + 1)
    if asked:
        response.status_code = 206
        response["Content-Range"] = f"bytes {first}-{last}/{file.size}"
    return response


def _asked_range(request: HttpRequest, size: int) -> tuple[int, int] | None:
    """First and last byte of the one range asked for; None for the whole file, or for what we do not understand."""
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if not found or (found["first"] is None and found["last"] is None):
        return None
    if found["first"] is None:
        return max(0, size - int(found["last"])), size - 1 if int(found["last"]) else -1
    last = int(found["last"]) if found["last"] is not None else size - 1
    return int(found["first"]), min(last, size - 1)


def _slice(content: IO[bytes], first: int, last: int) -> Iterator[bytes]:
    with content:
        content.seek(first)
        left = last - first + 1
        while left and (chunk := content.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _type(file: MediaFile) -> str:
    kind = file.content_type or UNKNOWN
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _disposition(file: MediaFile) -> str:
    """Under the name it was given, encoded so that nothing in it can end the header."""
    manner = "inline" if file.content_type in INLINE else "attachment"
    extension = EXTENSIONS.get(file.content_type)
    plain = f"file.{extension}" if extension else "file"
    given = f"; filename*=UTF-8''{quote(file.name, safe='')}" if file.name else ""
    return f'{manner}; filename="{plain}"{given}'
