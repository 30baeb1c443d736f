"""The system's own lines in a thread: connections, who came and went, changes of rules that touch it, what a shadow
would have decided, webhooks that went wrong."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.urls import reverse

from console.thread.items import SystemLine
from console.thread.people import People
from console.thread.words import number
from contactrules.models import Decision, RuleRevision, ShadowVerdict
from contactrules.shadow import differing_about
from core.actor import Actor, Role
from core.phones import pretty
from events.models import Event
from imessage.models import Connection, Conversation, Message
from lines.models import Line
from webhooks.catalog import TOLD_AS
from webhooks.models import Attempt

# Of each kind a window shows at most so many, the newest.
MOST = 200

# Whoever came so soon after the first began the group with them.
_TOGETHER = timedelta(seconds=5)

_RELEASED = {
    "human": "The human disconnected",
    "admin": "Released by an admin",
    "identity": "Released: the identity was switched off",
    "line": "Released: the number was taken from the agent",
}


def lines_of(
    people: People,
    thread: Conversation,
    *,
    begins: datetime | None,
    ends: datetime | None,
    known_at: datetime | None = None,
) -> list[SystemLine]:
    """Every line between two moments, oldest first; without an end up to now. Of what is found out after the fact
    only what was known at a moment, if one is given."""
    actor = people.actor
    around = _members(people, thread, ends) if thread.is_group else _connections(actor, thread, ends)
    lines = [line for line in around if (begins is None or line.at >= begins) and (ends is None or line.at <= ends)]
    lines += _revisions(people, thread, begins, ends)
    lines += _shadowed(people, thread, _between("at", begins, ends) & _between("judged_at", None, known_at))
    lines += [line for line in _kept(actor, thread, ends) if begins is None or line.at >= begins]
    lines += _webhooks(actor, thread, begins, ends)
    return sorted(lines, key=lambda line: line.at)


def _connections(actor: Actor, thread: Conversation, ends: datetime | None) -> Iterable[SystemLine]:
    """Each connect, move and disconnect of the pair; a reconnect makes a new connection under the same thread."""
    rows = Connection.objects.visible_to(actor).filter(
        identity_id=thread.identity_id, human=thread.human, owned_line_id=thread.owned_line_id
    )
    before: Connection | None = None
    rows = rows.select_related("line").prefetch_related("moves__to_line", "moves__from_line")
    for connection in rows.order_by("created_at", "id"):
        yield SystemLine(
            key=f"{connection.id}-connected",
            text=_connected(actor, before, connection),
            at=connection.created_at,
        )
        for move in connection.moves.all():
            yield SystemLine(key=f"{connection.id}-moved-{move.id}", text=_moved(actor, move.to_line), at=move.at)
        if connection.released_at and (ends is None or connection.released_at <= ends):
            text = _RELEASED.get(connection.released_by, "Disconnected")
            yield SystemLine(key=f"{connection.id}-released", text=text, at=connection.released_at)
        before = connection


def _connected(actor: Actor, before: Connection | None, connection: Connection) -> str:
    if connection.owned_line_id:
        return f"{'Begun' if before is None else 'Begun again'} on {number(actor, connection.line)}"
    if before is None:
        return "Connected"
    began_on = _first_line(connection)
    return "Connected again" if before.line_id == began_on.id else _moved(actor, began_on)


def _first_line(connection: Connection) -> Line:
    first = next(iter(connection.moves.all()), None)
    return first.from_line if first else connection.line


def _moved(actor: Actor, to: Line) -> str:
    # Which line a tenant's human writes on is the operators' business.
    where = f", {pretty(to.address)}" if actor.role is Role.OPERATOR else ""
    return f"Moved to another line{where}"


def _members(people: People, thread: Conversation, ends: datetime | None) -> Iterable[SystemLine]:
    """Who came into a group and who left; those it began with in one line."""
    first = min((one.joined_at for one in people.roster), default=thread.created_at)
    began = [one for one in people.roster if one.joined_at - first < _TOGETHER]
    names = ", ".join(people.words(one.human) for one in began)
    yield SystemLine(key=f"{thread.id}-begun", text=f"Group of {names or 'nobody known yet'}", at=first)
    for one in people.roster:
        if one not in began:
            yield SystemLine(
                key=f"{one.id}-joined", text=f"{_capital(people.words(one.human))} joined", at=one.joined_at
            )
        if one.left_at and (ends is None or one.left_at <= ends):
            yield SystemLine(key=f"{one.id}-left", text=f"{_capital(people.words(one.human))} left", at=one.left_at)


def _kept(actor: Actor, thread: Conversation, ends: datetime | None) -> Iterable[SystemLine]:
    """New names of a group, other pictures behind the thread, numbers that stood in."""
    events = Event.objects.visible_to(actor).filter(_between("at", None, ends), conversation_id=thread.id)
    name: str | None = None
    for event in events.filter(type__in=_KEPT).order_by("-number")[:MOST][::-1]:
        before, name = name, event.data.get("name", name)
        # Of the first change of the members nobody knows whether the name is new too.
        is_named = name != before and not (before is None and (event.data.get("joined") or event.data.get("left")))
        text = _kept_words(event, name or "", is_named=is_named)
        if text:
            # A human's label is their number, and a provider's says nothing.
            by = f"by {event.actor['label']}" if event.actor["kind"] in {"user", "api_key"} else ""
            yield SystemLine(key=f"e{event.number}", text=text, at=event.at, icon="edit", detail=by)


def _kept_words(event: Event, name: str, *, is_named: bool) -> str:
    if event.type == "conversation.background_changed":
        return f"Background changed, version {event.data['version']}"
    if event.type == "conversation.background_removed":
        return "Background taken away"
    if event.type == "line.substituted":
        used, original = (pretty(event.data[which]["address"]) for which in ("used", "original"))
        return f"{used} stood in for {original}, which could not send: {event.data['reason'].replace('_', ' ')}"
    return f"Group named {name}" if is_named else ""


_KEPT = (
    "group.changed",
    "conversation.background_changed",
    "conversation.background_removed",
    "line.substituted",
)


def _revisions(
    people: People, thread: Conversation, begins: datetime | None, ends: datetime | None
) -> Iterable[SystemLine]:
    """Changes of the mode, and of the rules that name a human of the thread."""
    named = Q(before__match_target__in=people.humans) | Q(after__match_target__in=people.humans)
    rows = RuleRevision.objects.visible_to(people.actor).filter(
        named | Q(change="mode_changed"), identity=thread.identity_id
    )
    rows = rows.filter(_between("at", begins, ends)).order_by("-number")[:MOST]
    for revision in rows:
        yield SystemLine(
            key=f"r{revision.number}",
            text=_changed(revision, people),
            at=revision.at,
            icon="shield",
            detail=_by(revision),
        )


def _by(revision: RuleRevision) -> str:
    who = revision.actor.get("label", "somebody")
    return f"by {who}: {revision.reason}" if revision.reason else f"by {who}"


def _changed(revision: RuleRevision, people: People) -> str:
    before, after = revision.before or {}, revision.after or {}
    if revision.change == "mode_changed":
        return f"Filter mode changed to {_modes(after)}"
    whom = people.words(str((after or before)["match_target"])) if people.is_group else "this number"
    if not before:
        return f"{str(after['action']).capitalize()} rule for {whom} added{_side(after)}"
    if not after:
        return f"{str(before['action']).capitalize()} rule for {whom} removed"
    if before["status"] != after["status"]:
        verb = "paused" if after["status"] == "paused" else "resumed"
        return f"{str(after['action']).capitalize()} rule for {whom} {verb}"
    return f"Rule for {whom} changed from {before['action']} to {after['action']}{_side(after)}"


def _modes(after: dict[str, Any]) -> str:
    outbound = after.get("outbound_mode")
    return f"{after['mode']}, {outbound} for what goes out" if outbound else str(after.get("mode", "another"))


def _side(after: dict[str, Any]) -> str:
    return {"inbound": ", for what comes in", "outbound": ", for what goes out"}.get(str(after.get("direction")), "")


def _shadowed(people: People, thread: Conversation, span: Q) -> Iterable[SystemLine]:
    """Each verdict that a shadow's draft gave otherwise, beside what it is about; known once it was given."""
    verdicts = differing_about(people.actor, thread.identity_id, people.humans).filter(span)
    # What the same humans say elsewhere is not this thread's; nobody connects to a group.
    said = Message.objects.visible_to(people.actor).filter(pk=OuterRef("message_id"))
    verdicts = verdicts.exclude(Exists(said.exclude(conversation=thread)))
    verdicts = verdicts.exclude(message_id=None) if thread.is_group else verdicts
    # Reading and typing are no lines here, so what would have become of them is none either.
    for given in verdicts.exclude(subject=Decision.Subject.RECEIPT).order_by("-at", "-id")[:MOST]:
        yield SystemLine(
            key=f"v{given.id}",
            text=_would(given),
            at=given.at,
            icon="eye",
            link=reverse("console:shadow", args=[given.shadow_id]),
            about=given.message_id,
        )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _would(given: ShadowVerdict) -> str:
    if given.direction == Decision.Direction.OUTBOUND:
        return "The shadow would have let this go out" if given.would_allow else "The shadow would have refused this"
    what = {"connect": "this connect", "tapback": "this tapback"}.get(given.subject, "this text")
    done = f"let {what} through" if given.would_allow else f"held {what} back"
    return f"The shadow would have {done}"


def _webhooks(
    actor: Actor, thread: Conversation, begins: datetime | None, ends: datetime | None
) -> Iterable[SystemLine]:
    """The first failure of each delivery about this thread, what came right after it, and every replay."""
    for attempt in _attempts(actor, thread.identity_id, _told(actor, thread, begins, ends)):
        at = attempt.at + timedelta(milliseconds=attempt.duration_ms or 0)
        if ends is None or at <= ends:
            yield SystemLine(key=f"w{attempt.id}", text=_attempted(attempt), at=at, icon="webhooks")


def _told(actor: Actor, thread: Conversation, begins: datetime | None, ends: datetime | None) -> list[UUID]:
    events = Event.objects.visible_to(actor).filter(conversation_id=thread.id, type__in=list(TOLD_AS))
    events = events.filter(_between("at", begins, ends))
    return list(events.order_by("-number").values_list("id", flat=True)[:MOST])


def _attempts(actor: Actor, identity_id: UUID, event_ids: list[UUID]) -> list[Attempt]:
    if not event_ids:
        return []
    worth_a_line = Q(number=1) & ~Q(response_status__range=(200, 299)) | Q(number=1, response_status=None)
    worth_a_line |= Q(number__gt=1, response_status__range=(200, 299)) | Q(is_replay=True)
    rows = Attempt.objects.visible_to(actor).filter(
        worth_a_line,
        delivery__identity_id=identity_id,
        delivery__event_id__in=event_ids,
    )
    return list(rows.select_related("delivery").order_by("-at")[:MOST])


def _attempted(attempt: Attempt) -> str:
    host = urlsplit(attempt.url).hostname or attempt.url
    answer = f"answered {attempt.response_status}" if attempt.response_status else "no answer"
    if attempt.is_replay:
        return f"Webhook to {host} replayed: {answer}"
    return f"Webhook to {host} {'delivered at last' if attempt.succeeded else 'failed'}: {answer}"


def _between(name: str, begins: datetime | None, ends: datetime | None) -> Q:
    span = Q()
    if begins:
        span &= Q(**{f"{name}__gte": begins})
    if ends:
        span &= Q(**{f"{name}__lte": ends})
    return span
