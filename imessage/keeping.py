"""What an agent keeps with a thread: its program's own state, a group's name, the picture behind it.

The name and the picture are on the humans' phones too: called first, outside any transaction, written down after.
"""

import contextlib
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from django.db import transaction
from django.utils import timezone

from contactrules.models import Decision
from core.actor import Actor, Role
from core.errors import Conflict, DomainError, Invalid, NotFound
from core.texts import storable
from imessage import groups, media
from imessage.errors import BackgroundUnsupported, BadPicture, GroupsUnsupported
from imessage.models import Conversation, MediaFile
from imessage.receipts import require_reachable, speaks_imessage
from imessage.telling import tell_of_thread
from lines.cards import card_of
from lines.direct import direct_call
from lines.providers.base import Group, ProviderCallFailed, Upload
from lines.threads import chat_of

# Of the metadata as JSON in UTF-8, in bytes.
METADATA_LIMIT = 16_384

# PostgreSQL keeps any number; what writes JSON here, and most that read it, know none of more than 64 bits.
_NUMBER_LIMIT = 2**63

_LONGEST_NAME = 100

# What phones show behind a thread (contract/agentphone.md, section 6).
PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/heic"})


def keep_metadata(actor: Actor, conversation: Conversation, metadata: dict[str, Any] | None) -> Conversation:
    """Put the agent's program's own state in place of what was kept with the thread; None for nothing.

    Nobody reads it but that program, which gets it with every webhook, and the console. The same again changes
    nothing. Raises `NotFound`, `Forbidden` for viewers, `Invalid` over `METADATA_LIMIT` or for what is no JSON.
    """
    _thread(actor, conversation)
    _check_metadata(metadata)
    with _locked(conversation) as conversation:
        before = conversation.metadata
        if metadata != before:
            _keep(conversation, metadata=metadata)
            tell_of_thread(actor, "conversation.metadata_changed", conversation, before=before, after=metadata)
    return conversation


def rename_group(actor: Actor, conversation: Conversation, name: str) -> Conversation:
    """Give a group another name on every member's phone; the same again changes nothing.

    Raises `NotFound`, `Forbidden`, `Invalid` for a thread that is no group or a name that is none,
    `GroupsUnsupported` where the line cannot, `Conflict` before the group has begun, and as
    `imessage.receipts.mark_read` does.
    """
    conversation, name = _thread(actor, conversation), storable(name).strip()
    if not conversation.is_group:
        raise Invalid("Only groups have a name.")
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Invalid(f"A group's name is one line of at most {_LONGEST_NAME} characters.")
    if name == conversation.group_name:
        return conversation
    require_reachable(conversation, subject=Decision.Subject.RECEIPT)
    if not card_of(conversation.line).group_rename:
        raise GroupsUnsupported("This number cannot rename groups.")
    if not conversation.chat:
        raise Conflict("The group begins with its first message; it has no name before.")
    with direct_call(conversation.line) as (driver, account):
        driver.rename_group(account, line=conversation.line.address, chat=conversation.chat, name=name)
    with _locked(conversation) as conversation:
        # The phone may have told of it already; then nothing changes any more.
        groups.apply_roster(actor, conversation, Group(conversation.chat, name=name))
    return conversation


def set_background(actor: Actor, conversation: Conversation, url: str) -> bool:
    """Put the picture at `url` behind the thread on the human's phone; whether that changed anything.

    It is fetched through the guard for outbound calls, known by its content, and kept as a media file. The same
    picture again, and any on a thread that goes over SMS, changes nothing. Raises `NotFound`, `Forbidden`,
    `BackgroundUnsupported` for groups and where the line cannot, `BadPicture`, `NoSuchMedia`, `QuotaReached`, and as
    `imessage.receipts.mark_read` does. Calls out: outside any transaction.
    """
    conversation = _thread_with_background(actor, conversation)
    if not speaks_imessage(conversation):
        return False
    _require_background(conversation)
    picture = _fetched(actor, conversation, url)
    digest = sha256(picture.content).hexdigest()
    if digest == conversation.background_sha256:
        return False
    file = media.store_for(actor, picture, identity=conversation.identity)
    try:
        _show(conversation, picture)
    except DomainError:
        media.give_up(file)
        raise
    with _locked(conversation) as conversation:
        if digest == conversation.background_sha256:
            media.give_up(file)
            return False
        version = conversation.background_version + 1
        kept = {"background_id": file.id, "background_url": url, "background_sha256": digest}
        _keep(conversation, background_version=version, **kept)
        tell_of_thread(
            actor, "conversation.background_changed", conversation, file_id=str(file.id), url=url, version=version
        )
    return True


def remove_background(actor: Actor, conversation: Conversation) -> bool:
    """Take the picture from behind the thread; whether there was one. Raises as `set_background` does."""
    conversation = _thread_with_background(actor, conversation)
    if conversation.background_id is None:
        return False
    _require_background(conversation)
    _show(conversation, None)
    with _locked(conversation) as conversation:
        if conversation.background_id is None:
            return False
        version = conversation.background_version + 1
        _keep(conversation, background_id=None, background_url="", background_sha256="", background_version=version)
        tell_of_thread(actor, "conversation.background_removed", conversation, version=version)
    return True


def background_of(conversation: Conversation) -> MediaFile | None:
    """The picture behind the thread."""
    return MediaFile.objects.filter(pk=conversation.background_id).first() if conversation.background_id else None


def _thread(actor: Actor, conversation: Conversation) -> Conversation:
    """The conversation as it is now, in which the actor may act."""
    if not actor.is_agent:
        actor.require(Role.ADMIN)
    related = ("identity", "connection__line__account", "owned_line__account")
    found = Conversation.objects.visible_to(actor).select_related(*related).filter(pk=conversation.pk).first()
    if found is None:
        raise NotFound()
    return found


def _thread_with_background(actor: Actor, conversation: Conversation) -> Conversation:
    conversation = _thread(actor, conversation)
    if conversation.is_group:
        raise BackgroundUnsupported("Groups take no background from here.")
    require_reachable(conversation, subject=Decision.Subject.RECEIPT)
    return conversation


def _require_background(conversation: Conversation) -> None:
    if not card_of(conversation.line).background:
        raise BackgroundUnsupported()


def _check_metadata(metadata: dict[str, Any] | None) -> None:
    try:
        for value in _values(metadata):
            _check_value(value)
        size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as unfit:
        raise Invalid("'metadata' is a JSON object, or null.") from unfit
    if size > METADATA_LIMIT:
        raise Invalid(f"'metadata' is {size:,} bytes of JSON; the limit is {METADATA_LIMIT:,}.")


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, int | float) and abs(value) >= _NUMBER_LIMIT:
        raise Invalid("'metadata' holds a number of more than 64 bits; write it as a text.")


def _values(value: Any) -> Iterator[Any]:
    """All texts, keys included, numbers and words in it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner)
    else:
        yield value


def _fetched(actor: Actor, conversation: Conversation, url: str) -> Upload:
    # Of our own links only those that the actor may see.
    media.part_for(actor, url, organization_id=conversation.organization_id)
    try:
        picture = media.upload_of(url)
    except ProviderCallFailed as failed:
        raise BadPicture(failed.error.text if failed.error else None) from failed
    if picture.content_type not in PICTURES:
        raise BadPicture("A background is a JPEG, PNG, GIF, WebP or HEIC picture.")
    return picture


def _show(conversation: Conversation, picture: Upload | None) -> None:
    line, human = conversation.line, conversation.human
    with direct_call(line) as (driver, account):
        driver.background(account, line=line.address, human=human, media=picture, chat=chat_of(line, human))


@contextlib.contextmanager
def _locked(conversation: Conversation) -> Iterator[Conversation]:
    with transaction.atomic():
        yield Conversation.objects.select_for_update(no_key=True).get(pk=conversation.pk)


def _keep(conversation: Conversation, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(conversation, name, value)
    conversation.updated_at = timezone.now()
    conversation.save(update_fields=[*fields, "updated_at"])
