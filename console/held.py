"""What was held back, as pages show it: the lists of messages and of senders, and what is said of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Count, Q, QuerySet, Value
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts.models import Identity
from console.counters import bounded, counter
from console.lists import Choice, Column, FilterSpec, Id, Range, Sort, Text, View, identity_choice
from console.masking import sees_numbers
from console.thread.people import Person, Title, known_names, titles_of, with_human
from console.thread.places import place_of
from console.thread.window import rules_of
from console.thread.words import verdict_in_words
from console.work import Deed, Skipped
from contactrules.models import ContactRule, RuleRevision
from contactrules.rules import Verdict, verdict
from core.actor import Actor
from core.phones import digits_of, e164
from imessage.models import Conversation, Message, Release, TapbackChange
from imessage.releasing import release
from imessage.reviewing import blocked_today, has_to_review, judged_today, mark_all_reviewed, mark_reviewed

# How far back a sender's line of days goes.
DAYS = 30
# So many changes of the rules, tapbacks and releases are shown beside one message.
MOST = 20

MODES = [(mode, Identity.FilterMode(mode).label) for mode in Identity.FilterMode.values]
_TO_REVIEW = Q(is_blocked=True, reviewed_at=None)
_STATES = {
    "to-review": _TO_REVIEW,
    "reviewed": Q(is_blocked=True, reviewed_at__isnull=False),
    "released": Q(released_at__isnull=False),
}


def _messages(actor: Actor) -> QuerySet[Message]:
    """All that was ever blocked. `is_readable`: who may not read a text may not find it by its words either."""
    rows = Message.objects.visible_to(actor).held_back()
    return rows.annotate(is_readable=Value(sees_numbers(actor))).select_related("identity")


def _senders(actor: Actor) -> QuerySet[Conversation]:
    rows = Conversation.objects.visible_to(actor).filter(blocked_total__gt=0).prefetch_related("participants")
    return rows.annotate(is_readable=Value(sees_numbers(actor))).select_related("identity", "blocked_last")


def _sought(text: str) -> Q:
    found = Q(text__icontains=text)
    if digits := digits_of(text):
        found |= Q(human__contains=digits)
    return Q(is_readable=True) & found


def _numbered(text: str) -> Q:
    """Of what is typed only the digits are compared; without any nobody is found."""
    digits = digits_of(text)
    return Q(is_readable=True) & with_human(digits) if digits else Q(pk=None)


def _of_one(judged: Q) -> Q:
    """Of threads of one human; the members of a group are judged each by what they wrote."""
    return judged & Q(is_group=False)


BLOCKED = FilterSpec(
    name="blocked",
    title="Blocked",
    route="console:blocked",
    nouns=("blocked message", "blocked messages"),
    rows=_messages,
    search=_sought,
    search_label="Words or number",
    fields=(
        Choice(
            key="state",
            label="State",
            among=(("to-review", "To review"), ("reviewed", "Reviewed"), ("released", "Released")),
            condition=_STATES.__getitem__,
        ),
        identity_choice(),
        Choice(
            key="today",
            label="Today's rules",
            among=(("through", "Would let it through"), ("blocked", "Would block it")),
            condition_for=lambda actor, answer: judged_today(actor, blocked=answer == "blocked"),
        ),
        Choice(
            key="why",
            label="Blocked by",
            among=(("rule", "A rule"), ("whitelist", "Not on the whitelist")),
            condition=lambda why: Q(rule_id__isnull=why == "whitelist"),
        ),
        Choice(key="mode", label="Mode then", column="filter_mode", among=MODES),
        Text(
            key="sender",
            label="Sender",
            hint="+1 555 555 0100",
            parse=e164,
            condition=lambda number: Q(is_readable=True, human=number),
        ),
        Text(key="reviewer", label="Reviewed by", hint="name@example.com", column="reviewed_by__label"),
        Id(key="rule", label="Rule", hint="Id of a rule", column="rule_id"),
        Id(key="thread", label="Thread", hint="Id of a thread", column="conversation_id"),
    ),
    time=Range(column="created_at", label="Blocked"),
    sorts=(Sort("when", "Time", "created_at"),),
    views=(
        View("to-review", "To review", "state=to-review"),
        View("changed", "Changed since", "today=through"),
        View("released", "Released", "state=released"),
        View("all", "All", "state=to-review&state=reviewed&state=released"),
    ),
    columns=(
        Column("when", "Time", "created_at"),
        Column("human", "Sender", "human", masked=True),
        Column("identity", "Identity", "identity__handle"),
        Column("text", "Text", lambda row: row.text if row.is_readable else ""),
        Column("mode", "Mode then", "filter_mode"),
        Column("revision", "Revision then", "rule_revision"),
        Column("rule", "Rule", "rule_id"),
        Column("reviewed_at", "Reviewed", "reviewed_at"),
        Column("reviewed_by", "Reviewed by", lambda row: (row.reviewed_by or {}).get("label", "")),
        Column("released_at", "Released", "released_at"),
    ),
)

# The same address, grouped: `group` is one of its keys, so every link of it keeps the grouping.
SENDERS = FilterSpec(
    name="blocked-senders",
    title="Blocked senders",
    route="console:blocked",
    nouns=("sender", "senders"),
    rows=_senders,
    search=_numbered,
    search_label="Number",
    fields=(
        Choice(key="group", label="Group by", among=(("sender", "Sender"),), condition=lambda _: Q(pk__isnull=False)),
        identity_choice(),
        Choice(
            key="state",
            label="State",
            among=(("to-review", "Something to review"),),
            condition=lambda _: Q(has_to_review()),
        ),
        Choice(
            key="today",
            label="Today's rules",
            among=(("through", "Would let them through"), ("blocked", "Would block them")),
            condition=lambda answer: _of_one(Q(blocked_today()) if answer == "blocked" else ~Q(blocked_today())),
        ),
    ),
    time=Range(column="blocked_last_at", label="Last blocked"),
    sorts=(Sort("last", "Last blocked", "blocked_last_at"),),
    created="created_at",
)


@counter("blocked", "to review")
def count_to_review(actor: Actor) -> int:
    return bounded(Message.objects.visible_to(actor).to_review())


# --- Messages


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One message that was blocked: why, what today's rules say, what was done about it; its place in its thread."""

    message: Message
    sender: Person
    reason: str
    blocked_today: bool
    release: Release | None
    place: str

    @property
    def has_changed(self) -> bool:
        """Whether today's rules differ from the verdict of then."""
        return self.message.is_blocked and not self.blocked_today

    @property
    def first_words(self) -> str:
        return self.message.text or "Attachment"

    @property
    def reviewer(self) -> str:
        return str((self.message.reviewed_by or {}).get("label", ""))


def held_rows(actor: Actor, messages: Sequence[Message]) -> list[HeldRow]:
    """Each with what is said of it; so many queries however many they are."""
    rules = rules_of(actor, messages)
    today = _blocked_today(Message.objects.visible_to(actor), messages)
    releases = _open_releases(actor, messages)
    names = known_names(actor, {message.human for message in messages})
    return [
        HeldRow(
            message=message,
            sender=Person(message.human, names.get((message.organization_id, message.human), "")),
            reason=verdict_in_words(message, rules),
            blocked_today=today.get(message.pk, True),
            release=next((one for one in releases.get(message.conversation_id, ()) if _lets_go(one, message)), None),
            place=place_of(message),
        )
        for message in messages
    ]


def _blocked_today(rows: QuerySet[Any], shown: Sequence[Any]) -> dict[UUID, bool]:
    judged = rows.filter(pk__in=[row.pk for row in shown]).annotate(today=blocked_today())
    return dict(judged.values_list("pk", "today")) if shown else {}


def _open_releases(actor: Actor, messages: Iterable[Message]) -> dict[UUID, list[Release]]:
    found: dict[UUID, list[Release]] = {}
    threads = {message.conversation_id for message in messages if message.is_blocked}
    for one in Release.objects.visible_to(actor).open().filter(conversation_id__in=threads) if threads else ():
        found.setdefault(one.conversation_id, []).append(one)
    return found


def _lets_go(one: Release, message: Message) -> bool:
    if one.message_id is None:
        return message.is_blocked and message.human == one.human and (one.allow or message.position <= one.up_to)
    return one.message_id == message.pk


# --- Senders


@dataclass(frozen=True, slots=True)
class SenderRow:
    """One human, or one group, as one agent never saw them: how much of it, day by day, and the newest of it.

    Of a group `blocked_today` says nothing: each of its members is judged alone.
    """

    thread: Conversation
    title: Title
    to_review: int
    tapbacks: int
    days: list[int]
    blocked_today: bool
    release: Release | None

    @property
    def newest(self) -> Message | None:
        return self.thread.blocked_last

    @property
    def days_in_words(self) -> str:
        return f"{sum(self.days)} blocked in {DAYS} days, {self.days[-1]} of them today"


def sender_rows(actor: Actor, threads: Sequence[Conversation]) -> list[SenderRow]:
    """Each with its counts; so many queries however many they are."""
    ids = [thread.pk for thread in threads]
    blocked = Message.objects.visible_to(actor).blocked().filter(conversation_id__in=ids)
    to_review = _counted(blocked.filter(reviewed_at=None))
    tapbacks = _counted(TapbackChange.objects.visible_to(actor).blocked().filter(conversation_id__in=ids))
    days = _days(blocked)
    today = _blocked_today(Conversation.objects.visible_to(actor), threads)
    whole = Release.objects.visible_to(actor).open().filter(conversation_id__in=ids, message=None)
    releases = {one.conversation_id: one for one in whole}
    titles = titles_of(actor, threads)
    return [
        SenderRow(
            thread=thread,
            title=titles[thread.pk],
            to_review=to_review.get(thread.pk, 0),
            tapbacks=tapbacks.get(thread.pk, 0),
            days=days.get(thread.pk, [0] * DAYS),
            blocked_today=thread.is_group or today.get(thread.pk, True),
            release=releases.get(thread.pk),
        )
        for thread in threads
    ]


def _counted(rows: QuerySet[Any]) -> dict[UUID, int]:
    counted = rows.order_by().values("conversation_id").annotate(number=Count("pk"))
    return dict(counted.values_list("conversation_id", "number"))


def _days(blocked: QuerySet[Message]) -> dict[UUID, list[int]]:
    """How many on each of the last days (UTC), by thread, the oldest day first."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=DAYS - 1)
    # A text may be a moment ahead of this process's clock.
    recent = blocked.filter(created_at__gte=first, created_at__lt=first + timedelta(days=DAYS)).order_by()
    found: dict[UUID, list[int]] = {}
    by_day = recent.annotate(day=TruncDate("created_at")).values("conversation_id", "day")
    counted = by_day.annotate(number=Count("pk"))
    for thread, day, number in counted.values_list("conversation_id", "day", "number"):
        found.setdefault(thread, [0] * DAYS)[(day - first.date()).days] = number
    return found


# --- One message


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A change of the rules in words; of rules for others only that there was one."""

    revision: RuleRevision
    words: str
    before: str
    after: str

    @property
    def by(self) -> str:
        return str(self.revision.actor.get("label", ""))


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A blocked message with all that is known of why, then and today."""

    row: HeldRow
    decided_under: RuleChange | None
    since: list[RuleChange]
    today: Verdict
    rules: list[ContactRule]
    of_sender: int
    tapbacks: list[TapbackChange]
    releases: list[Release]


def case_of(actor: Actor, message: Message) -> HeldMessage:
    """All that a page shows of one message; fetched with its identity and conversation."""
    revisions = RuleRevision.objects.visible_to(actor).filter(identity=message.identity)
    under = revisions.filter(number=message.rule_revision).first()
    about = Q(before__match_target=message.human) | Q(after__match_target=message.human) | Q(change="mode_changed")
    since = revisions.filter(about, number__gt=message.rule_revision).order_by("-number")[:MOST]
    rules = ContactRule.objects.visible_to(actor).filter(identity=message.identity, match_target=message.human)
    tapbacks = TapbackChange.objects.visible_to(actor).blocked().filter(conversation=message.conversation)
    releases = Release.objects.visible_to(actor).filter(conversation=message.conversation)
    releases = releases.filter(Q(message=message) | Q(message=None, created_at__gte=message.created_at))
    [row] = held_rows(actor, [message])
    return HeldMessage(
        row=row,
        decided_under=_in_words(under, message.human) if under else None,
        since=[_in_words(revision, message.human) for revision in since],
        today=verdict(message.identity, message.human),
        rules=list(rules.order_by("created_at")),
        of_sender=blocked_of_sender(actor, message),
        tapbacks=list(tapbacks.order_by("-at", "-id")[:MOST]),
        releases=list(releases.order_by("-created_at")[:MOST]),
    )


def blocked_of_sender(actor: Actor, message: Message) -> int:
    """How many of the thread's blocked messages are of the one who wrote this."""
    if not message.conversation.is_group:
        return message.conversation.blocked_total
    blocked = Message.objects.visible_to(actor).blocked()
    return blocked.filter(conversation_id=message.conversation_id, human=message.human).count()


_CHANGES = {"rule_created": "rule added", "rule_updated": "rule changed", "rule_deleted": "rule removed"}


def _in_words(revision: RuleRevision, human: str) -> RuleChange:
    if revision.change == "mode_changed":
        before, after = ((side or {}).get("mode", "") for side in (revision.before, revision.after))
        return RuleChange(revision, "Mode flipped", before, after)
    target = (revision.after or revision.before or {}).get("match_target")
    words = _CHANGES.get(revision.change, revision.change)
    if target != human:
        return RuleChange(revision, f"For another number: {words}", "", "")
    sides = [_rule_in_words(side) for side in (revision.before, revision.after)]
    return RuleChange(revision, f"For this number: {words}", *sides)


def _rule_in_words(rule: dict[str, str] | None) -> str:
    if rule is None:
        return "no rule"
    direction = rule.get("direction", "both")
    words = [rule["action"], "both ways" if direction == "both" else direction]
    return ", ".join(words + (["paused"] if rule["status"] == ContactRule.Status.PAUSED else []))


# --- Many at once


class ReleaseOptions(forms.Form):
    """What a release of many asks besides which."""

    rule = forms.ChoiceField(
        label="And then",
        choices=[
            ("allow", "Allow and release: the senders may reach the agent from then on, and be answered"),
            ("keep", "Release only: the rules stay, and answers to blocked numbers are refused with 403"),
        ],
        initial="allow",
        widget=forms.RadioSelect,
    )


def _review(actor: Actor, message: Message, options: Mapping[str, Any]) -> str:
    if not mark_reviewed(actor, message):
        raise Skipped("was reviewed already")
    return "reviewed"


def _review_all(actor: Actor, messages: Sequence[Message], options: Mapping[str, Any]) -> dict[UUID, str | Skipped]:
    marked = mark_all_reviewed(actor, messages)
    known = Skipped("was reviewed already")
    return {message.pk: "reviewed" if message.pk in marked else known for message in messages}


def _release(actor: Actor, message: Message, options: Mapping[str, Any]) -> str:
    """The work as a whole was held; what it releases in one thread still leaves in the thread's order."""
    allow = options.get("rule") != "keep"
    release(actor, message, allow=allow, reason="Released in bulk.", hold=timedelta())
    return "released, sender allowed" if allow else "released"


def _affected(actor: Actor, rows: QuerySet[Any], options: Mapping[str, Any]) -> list[str]:
    most = 1000
    senders = rows.order_by().values("conversation_id").distinct()[: most + 1].count()
    many = f"more than {most:,}" if senders > most else f"{senders:,}"
    told = f"They go to the agents of {many} {'thread' if senders == 1 else 'threads'}, in each thread's order."
    return [told, "The humans are told nothing."]


Deed(
    name="review-blocked",
    label="Mark reviewed",
    spec=BLOCKED,
    grade=1,
    perform=_review,
    perform_all=_review_all,
    key="M",
    done="Reviewed",
)
Deed(
    name="release-blocked",
    label="Release",
    spec=BLOCKED,
    grade=3,
    perform=_release,
    within="conversation_id",
    order=("conversation_id", "pk"),
    key="R",
    done="Released",
    form=ReleaseOptions,
    preview=_affected,
)
