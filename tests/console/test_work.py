"""Long work on lists: what is done to which rows, once each, and what stops it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.members import actor_of
from accounts.models import Membership, User
from console.models import Job, JobItem
from console.views.threads import THREADS
from console.work import DEEDS, Deed, Plan, Skipped, cancel_job, pause_job, resume_job, running, start_job
from console.work.running import run_job
from core.actor import Actor
from core.errors import Conflict, DomainError, Forbidden
from events.models import Event
from imessage.models import Conversation, Message
from tests import make

done_to: list[str] = []


def _mark(actor: Actor, row: Conversation, options: Mapping[str, Any]) -> str:
    behave = options.get(row.human)
    if behave == "skip":
        raise Skipped("Was so before")
    if behave == "refuse":
        raise Conflict("Not this one.")
    if behave == "break":
        raise ZeroDivisionError
    done_to.append(row.human)
    return "Marked"


@pytest.fixture
def mark() -> Any:
    """A deed that exists in tests only."""
    done_to.clear()
    deed = Deed(name="mark", label="Mark", spec=THREADS, grade=2, perform=_mark)
    yield deed
    del DEEDS["mark"]


@pytest.fixture
def held(mark: Deed) -> Any:
    """The same, outward."""
    deed = Deed(name="mark-outside", label="Mark", spec=THREADS, grade=3, perform=_mark)
    yield deed
    del DEEDS["mark-outside"]


def threads(identity: Any, count: int) -> list[str]:
    return [make.make_conversation(identity, f"+1555555{1000 + n}").human for n in range(count)]


def begin(user: User, deed: Deed, query: str = "", **options: str) -> Job:
    actor = actor_of(user)
    return start_job(actor, deed, Plan.of(THREADS.asked(query, actor), chosen=None), options=options)


def after(job: Job) -> Job:
    run_job(job.id)
    job.refresh_from_db()
    return job


def test_every_matching_row_has_its_deed_once(alice: User, identity: Any, mark: Deed) -> None:
    """Acceptance 6: the count that was shown is the count of results."""
    humans = threads(identity, 60)
    job = after(begin(alice, mark))
    assert (job.state, job.expected, job.total, job.done) == ("done", 60, 60, 60)
    assert done_to == humans
    assert list(JobItem.objects.values_list("state", "words").distinct()) == [(JobItem.State.DONE, "Marked")]


def test_rows_that_appeared_later_are_left_alone(alice: User, identity: Any, mark: Deed) -> None:
    threads(identity, 2)
    job = begin(alice, mark)
    late = make.make_conversation(identity, "+15555552000").human
    assert after(job).total == 2
    assert late not in done_to


def test_only_what_matches_and_is_visible_is_touched(
    alice: User, identity: Any, charlies_conversation: Conversation, mark: Deed
) -> None:
    make.make_conversation(identity, make.HUMAN)
    make.make_conversation(connection=make.make_connection(identity, make.OTHER_HUMAN, status="released"))
    after(begin(alice, mark, "?-state=released"))
    assert done_to == [make.HUMAN]


def test_a_row_has_its_own_result(alice: User, identity: Any, mark: Deed) -> None:
    one, two, three, four = threads(identity, 4)
    job = after(begin(alice, mark, **{one: "skip", two: "refuse", three: "break"}))
    assert (job.state, job.done, job.failed, job.skipped) == ("done", 1, 2, 1)
    words = [item.words for item in job.items.order_by("id")]
    assert words[:2] == ["Was so before", "Not this one."]
    assert words[2].startswith("An error of ours")
    assert done_to == [four]


def test_outward_work_waits_and_can_be_cancelled(alice: User, identity: Any, held: Deed) -> None:
    threads(identity, 2)
    job = after(begin(alice, held))
    assert (job.state, job.total) == ("held", 2)
    cancel_job(actor_of(alice), job)
    Job.objects.update(held_until=timezone.now())
    assert after(job).state == "cancelled"
    assert done_to == []


def test_it_begins_when_its_hold_is_over(alice: User, identity: Any, held: Deed) -> None:
    threads(identity, 2)
    job = after(begin(alice, held))
    Job.objects.update(held_until=timezone.now() - timedelta(seconds=1))
    assert after(job).state == "done"


@pytest.mark.parametrize(("steer", "state"), [(pause_job, "paused"), (cancel_job, "cancelled")])
def test_pause_and_cancel_stop_it_before_the_next_transaction(
    alice: User, identity: Any, steer: Any, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acceptance 6: within one batch. Who steers waits for the job's lock, so that afterwards nothing more is done."""
    monkeypatch.setattr(running, "TOGETHER", 2)
    humans = threads(identity, 5)

    def perform(actor: Actor, row: Conversation, options: Mapping[str, Any]) -> str:
        done_to.append(row.human)
        if row.human == humans[1]:
            steer(actor, Job.objects.get())
        return ""

    done_to.clear()
    deed = Deed(name="stop", label="Stop", spec=THREADS, grade=2, perform=perform)
    try:
        job = after(begin(alice, deed))
        assert job.state == state
        assert done_to == humans[:2]
        if state == "paused":
            resume_job(actor_of(alice), job)
            assert after(job).done == 5
    finally:
        del DEEDS["stop"]


def test_a_killed_worker_loses_what_it_had_not_finished_and_nothing_is_done_twice(
    alice: User, identity: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "TOGETHER", 2)
    humans = threads(identity, 5)

    def perform(actor: Actor, row: Conversation, options: Mapping[str, Any]) -> str:
        make.make_message(row)
        if row.human == humans[3] and killed:
            killed.pop()
            raise KeyboardInterrupt
        return ""

    killed = [True]
    deed = Deed(name="write", label="Write", spec=THREADS, grade=2, perform=perform)
    try:
        job = begin(alice, deed)
        with pytest.raises(KeyboardInterrupt):
            run_job(job.id)
        assert Message.objects.count() == JobItem.objects.filter(state=JobItem.State.DONE).count() == 2
        assert after(job).done == 5
    finally:
        del DEEDS["write"]
    assert Message.objects.values("conversation").distinct().count() == Message.objects.count() == 5


def test_rows_done_at_once_have_results_of_their_own_and_stay_within_what_they_share(
    alice: User, identity: Any
) -> None:
    calls: list[list[str]] = []

    def perform(actor: Actor, row: Conversation, options: Mapping[str, Any]) -> str:
        if row.human == refused:
            raise Conflict("Not this one.")
        return "by itself"

    def perform_all(actor: Actor, rows: Any, options: Mapping[str, Any]) -> dict[Any, Any]:
        calls.append([row.human for row in rows])
        if refused in calls[-1]:
            raise Conflict("One of them.")
        return {row.pk: "together" if n else Skipped("Was so before") for n, row in enumerate(rows)}

    second = make.make_identity(identity.organization)
    humans = threads(identity, 3)
    humans += [make.make_conversation(second, f"+1555555{2000 + n}").human for n in range(2)]
    refused = humans[4]
    together: dict[str, Any] = {"within": "identity_id", "order": ("identity_id", "pk")}
    deed = Deed(name="all", label="All", spec=THREADS, grade=2, perform=perform, perform_all=perform_all, **together)
    try:
        job = after(begin(alice, deed))
    finally:
        del DEEDS["all"]
    assert calls == [humans[:3], humans[3:]]
    assert (job.done, job.skipped, job.failed) == (3, 1, 1)
    words = JobItem.objects.order_by("id").values_list("words", flat=True)
    assert list(words) == ["Was so before", "together", "together", "by itself", "Not this one."]


def test_many_at_a_time_have_their_results_and_stop_after_a_batch(alice: User, identity: Any) -> None:
    calls: list[int] = []

    def perform_many(actor: Actor, rows: Any, options: Mapping[str, Any]) -> dict[Any, Any]:
        calls.append(len(rows))
        if len(calls) == 2:
            cancel_job(actor_of(alice), job)
        results = [Skipped("Was so before"), Conflict("Not this one.")]
        return {row.pk: results[n] if n < 2 else "Marked" for n, row in enumerate(rows)}

    deed = Deed(name="mark-many", label="Mark", spec=THREADS, grade=2, perform_many=perform_many, at_a_time=10)
    try:
        threads(identity, 35)
        job = begin(alice, deed)
        job = after(job)
    finally:
        del DEEDS["mark-many"]
    assert calls == [10, 10]
    assert (job.state, job.done, job.failed, job.skipped, job.total) == ("cancelled", 16, 2, 2, 35)
    waiting = JobItem.objects.filter(state=JobItem.State.WAITING).count()
    assert waiting == 15


def test_who_lost_the_right_meanwhile_ends_it(alice: User, identity: Any, mark: Deed) -> None:
    threads(identity, 2)
    job = begin(alice, mark)
    Membership.objects.filter(user=alice).update(role="viewer")
    job = after(job)
    assert (job.state, job.done) == ("failed", 0)
    assert job.problem


def test_a_viewer_starts_nothing_and_strangers_see_nothing(
    bob: User, charlie: User, alice: User, identity: Any, mark: Deed
) -> None:
    with pytest.raises(Forbidden):
        begin(bob, mark)
    job = begin(alice, mark)
    assert not Job.objects.visible_to(actor_of(charlie)).filter(pk=job.pk).exists()
    with pytest.raises(Forbidden):
        cancel_job(actor_of(bob), job)


def test_a_filter_that_was_not_understood_starts_nothing(alice: User, identity: Any, mark: Deed) -> None:
    with pytest.raises(DomainError, match="not understood"):
        begin(alice, mark, "?stat=active")


def test_a_selection_is_taken_as_it_was(alice: User, identity: Any, mark: Deed) -> None:
    make.make_conversation(identity, make.HUMAN)
    two = make.make_conversation(identity, make.OTHER_HUMAN)
    actor = actor_of(alice)
    plan = Plan.of(THREADS.asked("?state=released", actor), chosen=[str(two.id)])
    after(start_job(actor, mark, plan, options={}))
    assert done_to == [two.human]


def test_what_is_left_is_done_after_a_crash(alice: User, identity: Any, mark: Deed) -> None:
    humans = threads(identity, 3)
    job = begin(alice, mark)
    run_job(job.id)
    Job.objects.update(state="running", done=2, ended_at=None)
    JobItem.objects.filter(subject_id=str(Conversation.objects.get(human=humans[-1]).id)).update(
        state=JobItem.State.WAITING
    )
    assert after(job).done == 3
    assert done_to == [*humans, humans[-1]]


def test_its_events_tell_the_story(alice: User, identity: Any, mark: Deed) -> None:
    threads(identity, 2)
    job = after(begin(alice, mark))
    types = list(Event.objects.filter(subject_id=str(job.id)).order_by("number").values_list("type", flat=True))
    assert types == ["job.started", "job.counted", "job.progressed", "job.ended"]
