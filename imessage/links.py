"""Links to our own media: unguessable by their signature, good for some days, read back without any fetch."""

import re
import time
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from core import secrets
from imessage.filetypes import EXTENSIONS

_DAY = 24 * 3600
_LINK = re.compile(
    r"(?P<id>[0-9a-f]{32})/(?P<expires>[0-9]{10})/(?P<signature>[0-9a-f]{64})/(?P<name>file(?:\.[a-z0-9]{2,4})?)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Named:
    """The file a genuine link names, and when the link stops working, in Unix seconds."""

    file_id: UUID
    expires: int

    @property
    def is_current(self) -> bool:
        return time.time() < self.expires


def media_link(file_id: UUID, content_type: str) -> str:
    """An absolute link to one of our files, good for `MEDIA_LINK_DAYS`.

    It expires at a day's end, so that a page shows the same link all day and browsers may keep what it names.
    """
    expires = (int(time.time()) // _DAY + 1 + settings.MEDIA_LINK_DAYS) * _DAY
    extension = EXTENSIONS.get(content_type)
    signed = f"{file_id.hex}/{expires}", f"file.{extension}" if extension else "file"
    return f"{_base()}{signed[0]}/{secrets.digest(_claim(*signed))}/{signed[1]}"


def named_by(url: str) -> Named | None:
    """What an absolute URL names if it is a genuine link of ours, expired or not; None for any other."""
    return named_in(urlsplit(url).path.removeprefix(urlsplit(_base()).path)) if is_ours(url) else None


def named_in(path: str) -> Named | None:
    """The same for the path below `/media/`. A changed letter anywhere makes it no link of ours."""
    found = _LINK.fullmatch(path)
    if not found:
        return None
    claim = _claim(f"{found['id']}/{found['expires']}", found["name"])
    if not secrets.matches(claim, found["signature"]):
        return None
    return Named(UUID(found["id"]), int(found["expires"]))


def is_ours(url: str) -> bool:
    """Whether a URL lies where our media is served; such a URL is never fetched, only read."""
    return _place(url) == _place(_base()) and urlsplit(url).path.startswith(urlsplit(_base()).path)


def _base() -> str:
    return f"{settings.BASE_URL}/media/"


def _place(url: str) -> tuple[str | None, int]:
    """Host and port, however they are spelled; raises ValueError for an impossible port."""
    parts = urlsplit(url)
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _claim(target: str, name: str) -> str:
    return f"media/{target}/{name}"
