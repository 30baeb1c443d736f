"""Files in messages: uploaded by agents, fetched from providers, kept under random names, shown by expiring links."""

import hashlib
import logging
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import IO
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.db import connection, models, transaction
from django.utils import timezone

from accounts.models import Identity
from core.actor import Actor, Role
from core.errors import Invalid, TooLarge
from core.ids import uuid7
from core.secrets import new_token
from core.texts import cleaned
from core.uploads import UPLOAD_LIMIT
from core.wake import wake
from events.record import record
from imessage.errors import NoSuchMedia, NotEnabled, QuotaReached
from imessage.filetypes import HEAD, sniff
from imessage.links import is_ours, media_link, named_by
from imessage.models import MediaFile, Message, Part
from lines import fetching
from lines.fetching import FetchFailed
from lines.models import Line
from lines.providers.base import ErrorClass, Media, ProviderCallFailed, ProviderError, Upload

logger = logging.getLogger(__name__)

_FETCHER = Actor.system("media")

# An upload that no message took is forgotten after so long; what a message holds is kept with it.
_UPLOADS_KEPT = timedelta(days=30)
_INBOUND_KEPT = timedelta(days=1)
_UNFINISHED_KEPT = timedelta(hours=1)

# Seconds between attempts to fetch; providers' links live an hour at least (contract/lines.md, section 4).
_FETCH_AGAIN = (5, 30, 120, 600, 1800)

# Small files stay in memory on their way.
_SPOOLED = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Facts:
    size: int
    sha256: str
    content_type: str


def store_upload(actor: Actor, *, name: str, declared_type: str, chunks: Iterable[bytes]) -> MediaFile:
    """`upload`, kept at once: committed, and in the storage, when this returns. Outside any transaction."""
    with upload(actor, name=name, declared_type=declared_type, chunks=chunks) as file:
        return keep_upload(actor, file)


def store_for(actor: Actor, found: Upload, *, identity: Identity) -> MediaFile:
    """Keep a file that was fetched on behalf of an identity; as `store_upload`, and raises as `keep_upload` does."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOLED) as content:
        facts = _measured([found.content], content, limit=UPLOAD_LIMIT)
        with _stored(facts, content, found.name, organization_id=identity.organization_id, identity=identity) as file:
            return keep_upload(actor, file)


def give_up(file: MediaFile) -> None:
    """Nobody holds the file after all; it is forgotten with the next ones."""
    MediaFile.objects.filter(pk=file.pk).update(expires_at=timezone.now())


@contextmanager
def upload(actor: Actor, *, name: str, declared_type: str, chunks: Iterable[bytes]) -> Iterator[MediaFile]:
    """Put a file into the storage for the actor's organization; what the block does not `keep_upload` goes again.

    Its type is found by its content, `declared_type` is not believed. A key bound to an identity uploads for that
    identity alone, others for the whole organization. Talks to the storage, so it must begin outside any
    transaction: the one that keeps the file stands inside. Raises `NotEnabled` for a bound key whose identity is
    not enabled, `Forbidden` for viewers, `TooLarge` (413) over 10 MiB, `Invalid` (422) for an empty file.
    """
    identity = _uploader(actor)
    with tempfile.SpooledTemporaryFile(max_size=_SPOOLED) as content:
        facts = _measured(chunks, content, limit=UPLOAD_LIMIT)
        with _stored(facts, content, name, organization_id=_organization_of(actor), identity=identity) as file:
            yield file


def keep_upload(actor: Actor, file: MediaFile) -> MediaFile:
    """Keep a file of `upload`; raises `QuotaReached` (413)."""
    with transaction.atomic():
        _check_room(file.organization_id, file.size)
        file.expires_at = timezone.now() + _UPLOADS_KEPT
        file.save(update_fields=["size", "expires_at"])
        _call_stored(actor, file)
    return file


def media_url(file: MediaFile) -> str:
    """An absolute link to the file that whoever holds it can fetch, good for some days."""
    return media_link(file.id, file.content_type)


def part_for(actor: Actor, url: str, *, organization_id: UUID) -> Part:
    """What a URL of `media_urls` becomes: a part that holds our file if it is our link, else one that names the URL.

    Our links are read, never fetched. An own file's link may have expired, for agents keep them; anybody else's,
    a changed or a forgotten one raises `NoSuchMedia`.
    """
    if not is_ours(url):
        return Part(kind=Part.Kind.MEDIA, url=url)
    named = named_by(url)
    files = MediaFile.objects.visible_to(actor).stored().filter(organization_id=organization_id)
    file = files.filter(pk=named.file_id).first() if named else None
    if file is None:
        raise NoSuchMedia()
    return Part(kind=Part.Kind.MEDIA, media=file, content_type=file.content_type, size=file.size)


def upload_of(url: str) -> Upload:
    """The bytes behind a link in a message, for providers that take no links; raises `ProviderCallFailed`.

    Our own links are read from the storage; any other address is called through the guard for outbound calls.
    """
    named = named_by(url) if is_ours(url) else None
    file = MediaFile.objects.stored().filter(pk=named.file_id).first() if named else None
    if file:
        with storage().open(file.path) as content:
            return Upload(file.name or "file", file.content_type, content.read())
    try:
        if is_ours(url):
            raise FetchFailed("The file is gone.", again=False)
        found = fetching.fetch_anywhere(url, most_bytes=UPLOAD_LIMIT)
    except FetchFailed as failed:
        error_class = ErrorClass.RETRYABLE if failed.again else ErrorClass.PERMANENT
        raise ProviderCallFailed(ProviderError(error_class, "media_unavailable", str(failed))) from failed
    name = urlsplit(url).path.rpartition("/")[2] or "file"
    return Upload(name[:100], sniff(found[:HEAD]), found)


def expect(media: Media, *, line: Line, identity: Identity) -> Part:
    """A part for a file that the provider holds, with a job that fetches it; inside the message's transaction.

    Our link stands in the message from the first moment; who follows it early waits.
    """
    file = MediaFile(
        organization_id=identity.organization_id,
        identity=identity,
        source=MediaFile.Source.INBOUND,
        name="",
        path=_random_path(),
        account=line.account,
        origin=media.url,
        expires_at=timezone.now() + _INBOUND_KEPT,
    )
    if len(media.url) > 2000:
        file.origin, file.state, file.problem = "", MediaFile.State.FAILED, "The provider's link is too long."
    file.save(force_insert=True)
    if file.state == MediaFile.State.PENDING:
        _wake(file)
    return Part(kind=Part.Kind.MEDIA, media=file, content_type="", size=None)


def fetch(file_id: UUID) -> MediaFile.State | None:
    """Fetch one file from its provider and keep it; None when it needs no fetching any more.

    A fetch that failed is tried again after a while, up to six times. Outside any transaction.
    """
    file = MediaFile.objects.select_related("account").filter(pk=file_id, state=MediaFile.State.PENDING).first()
    if file is None or file.account is None:
        return None
    with tempfile.SpooledTemporaryFile(max_size=_SPOOLED) as content:
        try:
            body = fetching.fetch_media(file.account, file.origin, most_bytes=settings.INBOUND_MEDIA_LIMIT)
            facts = _measured([body], content, limit=settings.INBOUND_MEDIA_LIMIT)
            with transaction.atomic():
                _check_room(file.organization_id, facts.size)
                file.size, file.sha256, file.content_type = facts.size, facts.sha256, facts.content_type
                file.save(update_fields=["size", "sha256", "content_type"])
            file.path = _put(file, content)
            with transaction.atomic():
                _call_stored(_FETCHER, file)
            return MediaFile.State.STORED
        except FetchFailed as failed:
            return _failed(file, str(failed), again=failed.again)
        except (Invalid, TooLarge) as refused:
            return _failed(file, refused.message, again=False)


def wake_pending() -> int:
    """Nudge the files whose fetching has gone quiet; how many there were."""
    quiet = timezone.now() - timedelta(seconds=_FETCH_AGAIN[-1] * 2)
    pending = MediaFile.objects.filter(
        state=MediaFile.State.PENDING, source=MediaFile.Source.INBOUND, created_at__lt=quiet
    )
    with transaction.atomic():
        files = list(pending.order_by("id")[:500])
        for file in files:
            _wake(file)
    return len(files)


def forget() -> int:
    """Delete the files that have had their time and that no message holds; how many there were."""
    files = list(MediaFile.objects.forgettable(timezone.now()).order_by("id")[:1000])
    for file in files:
        # The row first: a link must never name a file that is gone.
        MediaFile.objects.filter(pk=file.pk).delete()
        storage().delete(file.path)
    return len(files)


def storage() -> Storage:
    """Where the bytes lie: Django's storage named `media`."""
    return storages["media"]


@contextmanager
def _stored(
    facts: _Facts, content: IO[bytes], name: str, *, organization_id: UUID, identity: Identity | None
) -> Iterator[MediaFile]:
    # The row first, taking no room yet: should this process die, the bytes are found by it and forgotten.
    file = MediaFile.objects.create(
        organization_id=organization_id,
        identity=identity,
        source=MediaFile.Source.UPLOAD,
        name=_shown_name(name),
        path=_random_path(),
        expires_at=timezone.now() + _UNFINISHED_KEPT,
        sha256=facts.sha256,
        content_type=facts.content_type,
    )
    file.size = facts.size
    try:
        file.path = _put(file, content)
        yield file
    finally:
        _take_back(file)


def _uploader(actor: Actor) -> Identity | None:
    if not actor.is_agent:
        actor.require(Role.ADMIN)
        return None
    identity = Identity.objects.visible_to(actor).get()
    if not identity.is_reachable:
        raise NotEnabled()
    return identity


def _organization_of(actor: Actor) -> UUID:
    if actor.organization_id is None:
        raise Invalid("An upload belongs to an organization; act for one.")
    return actor.organization_id


def _measured(chunks: Iterable[bytes], content: IO[bytes], *, limit: int) -> _Facts:
    """Copy the chunks and find out what they are: size, digest, type."""
    size, digest, head = 0, hashlib.sha256(), b""
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"The file is larger than {limit // 1024**2} MiB.")
        digest.update(chunk)
        head += chunk[: HEAD - len(head)]
        content.write(chunk)
    if not size:
        raise Invalid("The file is empty.")
    return _Facts(size=size, sha256=digest.hexdigest(), content_type=sniff(head))


def _check_room(organization_id: UUID, size: int) -> None:
    """Raise `QuotaReached` unless the file fits; the organization's uploads go one by one until the commit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('media'), hashtext(%s))", [str(organization_id)])
    kept = MediaFile.objects.filter(organization_id=organization_id).exclude(state=MediaFile.State.FAILED)
    used = kept.aggregate(used=models.Sum("size"))["used"] or 0
    if used + size > settings.MEDIA_QUOTA:
        raise QuotaReached()


def _put(file: MediaFile, content: IO[bytes]) -> str:
    """Put the bytes into the storage; where they lie, for storages change a name that is taken already."""
    content.seek(0)
    return str(storage().save(file.path, File(content)))


def _call_stored(actor: Actor, file: MediaFile) -> None:
    """The storage has the bytes and the room was taken; the caller's transaction makes them known."""
    file.state, file.problem = MediaFile.State.STORED, ""
    file.save(update_fields=["path", "state", "problem"])
    Part.objects.filter(media=file).update(content_type=file.content_type, size=file.size)
    _tell(actor, file, "media.stored")


def _take_back(file: MediaFile) -> None:
    """Unless it was kept: only the row knows, whatever became of the transaction."""
    if MediaFile.objects.filter(pk=file.pk, state=MediaFile.State.PENDING).delete()[0]:
        storage().delete(file.path)


def _failed(file: MediaFile, problem: str, *, again: bool) -> MediaFile.State:
    with transaction.atomic():
        file.attempts += 1
        file.problem = problem[:200]
        again = again and file.attempts <= len(_FETCH_AGAIN)
        file.state = MediaFile.State.PENDING if again else MediaFile.State.FAILED
        file.size = 0
        file.save(update_fields=["attempts", "problem", "state", "size"])
        if again:
            _wake(file, seconds=_FETCH_AGAIN[file.attempts - 1])
        else:
            _tell(_FETCHER, file, "media.failed")
    logger.warning("Could not fetch media", extra={"file_id": str(file.id), "problem": file.problem, "again": again})
    return MediaFile.State(file.state)


def _tell(actor: Actor, file: MediaFile, type: str) -> None:
    """Open pages show the file once it is there; a blocked human's is told as `.blocked`, like all of theirs."""
    message = Message.objects.filter(parts__media=file).only("id", "conversation_id", "is_blocked").first()
    record(
        actor,
        type + ".blocked" if message and message.is_blocked else type,
        organization_id=file.organization_id,
        identity_id=file.identity_id,
        conversation_id=message.conversation_id if message else None,
        subject_id=message.id if message else file.id,
        data={
            "file_id": str(file.id),
            "content_type": file.content_type,
            "size": file.size,
            "sha256": file.sha256,
            "problem": file.problem,
        },
    )


def _wake(file: MediaFile, *, seconds: float = 0) -> None:
    at = timezone.now() + timedelta(seconds=seconds) if seconds else None
    wake("imessage.fetch_media", once=f"media:{file.id}", at=at, file_id=str(file.id))


def _random_path() -> str:
    name = new_token(24)
    return f"{uuid7().hex[:6]}/{name}"


def _shown_name(name: str) -> str:
    """The name as given, without paths, controls and marks that turn the reading direction."""
    last = cleaned(name).replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in last if unicodedata.category(letter) not in {"Cc", "Cf"})
    return shown[:255]
