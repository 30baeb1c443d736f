"""What a worker does with a job: count, wait, then some rows at a time, in one transaction with their results.

A killed worker loses the transaction it was in and nothing else: whoever takes the job up goes on with the rows that
have no result yet. Whether to go on is asked before each of these transactions, under the lock that pausing and
cancelling take: once they have it, nothing more is done.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.members import actor_named
from console.lists import SPECS, Listing
from console.models import Job, JobItem
from console.work.deeds import DEEDS, EXPORT, Deed, Result, Skipped
from console.work.exporting import write_export
from console.work.starting import planned_rows
from console.work.telling import WORKER, tell, wake_job
from core.actor import Actor
from core.errors import DomainError, Forbidden

logger = logging.getLogger(__name__)

State = Job.State

BATCH = 500  # rows between two looks at who started it, and two events
BATCH_FOR = 1.0  # seconds after which a batch ends sooner
TOGETHER = 50  # rows in one transaction
AT_ONCE = 200  # rows in one transaction where they are done by a few statements
TOGETHER_FOR = 0.2  # seconds after which it ends sooner: others may wait for what it has locked
TURN = 20.0  # seconds after which other jobs have their turn
TRIES = 3  # of what the database refused


class Ended(Exception):
    """The job is not to go on: it was paused, cancelled or taken from the actor."""


def run_job(job_id: UUID) -> None:
    """Go on with a job as far as one turn reaches; queues itself again for the rest."""
    job = _jobs().filter(pk=job_id).first()
    if job is None or job.is_finished or job.state == State.PAUSED:
        return
    try:
        actor = _actor_of(job)
        _advance(job, actor)
    except Forbidden as refused:
        _finish(job_id, State.FAILED, problem=refused.message)
    except Ended:
        _settle(job_id)


def wake_due_jobs() -> None:
    """Nudge every job that a worker should be at: the net under lost wake-ups and killed workers."""
    for job_id in _jobs().due(timezone.now()).order_by("pk").values_list("pk", flat=True)[:500]:
        with transaction.atomic():
            wake_job(job_id)


def _advance(job: Job, actor: Actor) -> None:
    if job.state == State.CANCELLING:
        raise Ended
    if job.deed == EXPORT:
        _export(job, actor)
        return
    deed = DEEDS[job.deed]
    actor.require(deed.role)
    if job.state == State.COUNTING:
        job = _count(job, listing_of(job, actor), deed)
    if job.state == State.HELD:
        if _is_held(job):
            return
        job = _begin(job)
    if job.state == State.RUNNING:
        _work(job, deed)


# --- Counting and holding


def _count(job: Job, listing: Listing, deed: Deed) -> Job:
    """Write down which rows the job is about, once; then hold it or begin."""
    with transaction.atomic():
        locked = _locked(job.pk, State.COUNTING)
        rows = planned_rows(listing, locked.chosen, locked.snapshot_at)
        _insert_items(locked, rows, deed.order)
        locked.total = JobItem.objects.filter(job=locked).count()
        is_held = locked.held_until is not None and locked.held_until > timezone.now()
        locked.state = State.HELD if is_held else State.RUNNING
        locked.started_at = None if is_held else timezone.now()
        locked.save(update_fields=["total", "state", "started_at"])
        tell(WORKER, "job.counted", locked)
        if is_held:
            wake_job(locked.pk, at=locked.held_until)
    return locked


def _insert_items(job: Job, rows: QuerySet[Any], order: Iterable[str]) -> None:
    """One statement for all rows, in the order of the deed; a million takes seconds and no memory."""
    sql, params = rows.order_by(*order).values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO console_jobitem (job_id, subject_id, state, words)"  # noqa: S608 - the ORM's own SQL
            f" SELECT %s, found.key::text, %s, '' FROM ({sql}) AS found(key) ON CONFLICT DO NOTHING",
            [job.pk, JobItem.State.WAITING, *params],
        )


def _is_held(job: Job) -> bool:
    if job.held_until is None or job.held_until <= timezone.now():
        return False
    with transaction.atomic():
        wake_job(job.pk, at=job.held_until)
    return True


def _begin(job: Job) -> Job:
    with transaction.atomic():
        locked = _locked(job.pk, State.HELD)
        locked.state, locked.started_at = State.RUNNING, timezone.now()
        locked.save(update_fields=["state", "started_at"])
        tell(WORKER, "job.begun", locked)
    return locked


# --- Rows


def _work(job: Job, deed: Deed) -> None:
    until = time.monotonic() + TURN
    pause = _pause_between(deed, job)
    while time.monotonic() < until:
        # Whoever started it may have lost the right meanwhile.
        actor = _actor_of(job)
        actor.require(deed.role)
        if not _batch(job, deed, actor, pause=pause):
            _finish(job.pk, State.DONE)
            return
    with transaction.atomic():
        wake_job(job.pk)


def _batch(job: Job, deed: Deed, actor: Actor, *, pause: float) -> bool:
    """Do some rows and tell of them; False when there are none left."""
    if deed.perform_many:
        return _many(job, deed, actor, deed.perform_many)
    began, count, is_more = time.monotonic(), 0, True
    try:
        while is_more and count < BATCH and time.monotonic() - began < BATCH_FOR:
            done = _some(job, deed, actor, most=1 if pause else AT_ONCE if deed.perform_all else TOGETHER)
            is_more = done > 0
            count += done
            if pause and is_more:
                time.sleep(pause)
    finally:
        if count:
            _note_progress(job.pk, took=time.monotonic() - began)
    return is_more


def _some(job: Job, deed: Deed, actor: Actor, *, most: int) -> int:
    """The next rows: their deeds and their results in one transaction; how many, 0 when none waits. Raises `Ended`."""
    for tried in range(1, TRIES + 1):
        try:
            with transaction.atomic():
                return _together(_locked(job.pk, State.RUNNING), deed, actor, most)
        except DatabaseError:
            # A deadlock with other work on the same rows: the other one has gone through. Or the database will not
            # have one of the rows: what is before it is done all the same.
            if tried == TRIES or not connection.is_usable():
                raise
            most = 1
    return 0


def _together(job: Job, deed: Deed, actor: Actor, most: int) -> int:
    items = list(_waiting(job)[:most])
    rows = _rows_of(deed, actor, items)
    items = list(_of_one(deed, items, rows))
    found = _all_at_once(job, deed, actor, [rows[item.subject_id] for item in items if item.subject_id in rows])
    until = time.monotonic() + TOGETHER_FOR
    done: list[JobItem] = []
    for item in items:
        row = rows.get(item.subject_id)
        item.state, item.words = found.get(item.subject_id) or _perform(job, deed, actor, row)
        item.at = timezone.now()
        done.append(item)
        # What was done at once is written down at once.
        if not found and time.monotonic() > until:
            break
    _keep(job, done)
    return len(done)


def _all_at_once(job: Job, deed: Deed, actor: Actor, rows: list[Any]) -> dict[str, tuple[int, str]]:
    """What came of the rows, by their keys, if the deed has a way to do many at once and it succeeds."""
    if deed.perform_all is None or len(rows) < 2:
        return {}
    try:
        with transaction.atomic():
            found = deed.perform_all(actor, rows, job.options)
    except DatabaseError:
        raise
    except Exception:  # noqa: BLE001 - whatever it is: by itself each row shows whose it is
        return {}
    return {str(key): _result(result) for key, result in found.items()}


def _of_one(deed: Deed, items: Iterable[JobItem], rows: Mapping[str, Any]) -> Iterator[JobItem]:
    """The first items, as far as the deed has them in one transaction."""
    shared: set[Any] = set()
    for item in items:
        row = rows.get(item.subject_id)
        if deed.within and row is not None:
            shared.add(getattr(row, deed.within))
        if len(shared) > 1:
            return
        yield item


def _many(job: Job, deed: Deed, actor: Actor, perform_many: Callable[..., Mapping[Any, Result]]) -> bool:
    """The next rows of a deed that is done to many at a time; False when none waits. Raises `Ended`."""
    began = time.monotonic()
    with transaction.atomic():
        items = list(_waiting(_locked(job.pk, State.RUNNING))[: deed.at_a_time])
    if not items:
        return False
    rows = _rows_of(deed, actor, items)
    given = [rows[item.subject_id] for item in items if item.subject_id in rows]
    found = {str(key): _result(result) for key, result in perform_many(actor, given, job.options).items()}
    missing = (JobItem.State.SKIPPED, "Not there any more")
    for item in items:
        (item.state, item.words), item.at = found.get(item.subject_id, missing), timezone.now()
    with transaction.atomic():
        # What was done was done, whatever became of the job meanwhile.
        locked: Job = _jobs().select_for_update(no_key=True, of=("self",)).get(pk=job.pk)
        _keep(locked, items)
    _note_progress(job.pk, took=time.monotonic() - began)
    return True


def _waiting(job: Job) -> QuerySet[JobItem]:
    return JobItem.objects.filter(job=job, state=JobItem.State.WAITING).order_by("id")


def _rows_of(deed: Deed, actor: Actor, items: Iterable[JobItem]) -> dict[str, Any]:
    """The rows of these items that are still there, by their keys as texts."""
    keys = [item.subject_id for item in items]
    return {str(row.pk): row for row in deed.spec.rows(actor).filter(pk__in=keys)} if keys else {}


_RESULTS = """
UPDATE console_jobitem item SET state = result.state, words = result.words, at = result.at
FROM unnest(%s::bigint[], %s::smallint[], %s::text[], %s::timestamptz[]) result (id, state, words, at)
WHERE item.id = result.id
"""


def _keep(job: Job, items: Iterable[JobItem]) -> None:
    """Write down what came of some rows, and count it; the caller holds the job's lock."""
    items = list(items)
    results = zip(*((item.pk, item.state, item.words, item.at) for item in items), strict=True)
    if items:
        with connection.cursor() as cursor:
            cursor.execute(_RESULTS, [list(column) for column in results])
    for state, count in Counter(item.state for item in items).items():
        column = JobItem.WORDS[state]
        setattr(job, column, getattr(job, column) + count)
    job.save(update_fields=["done", "failed", "skipped"])


def _result(result: Result) -> tuple[int, str]:
    if isinstance(result, Skipped):
        return JobItem.State.SKIPPED, _short(result.words)
    if isinstance(result, DomainError):
        return JobItem.State.FAILED, _short(result.message)
    return JobItem.State.DONE, _short(result)


def _perform(job: Job, deed: Deed, actor: Actor, row: Any) -> tuple[int, str]:
    if row is None:
        return JobItem.State.SKIPPED, "Not there any more"
    try:
        with transaction.atomic():
            words = deed.perform(actor, row, job.options)
        return JobItem.State.DONE, _short(words)
    except Skipped as skipped:
        return JobItem.State.SKIPPED, _short(skipped.words)
    except DomainError as refused:
        return JobItem.State.FAILED, _short(refused.message)
    except DatabaseError:
        raise
    except Exception:
        logger.exception("A deed of a job failed on one row", extra={"job": str(job.pk), "row": str(row.pk)})
        return JobItem.State.FAILED, "An error of ours; it is in the log of the worker"


def _note_progress(job_id: UUID, *, took: float) -> None:
    with transaction.atomic():
        locked = _jobs().select_for_update(no_key=True, of=("self",)).get(pk=job_id)
        locked.worked += timedelta(seconds=took)
        locked.save(update_fields=["worked"])
        tell(WORKER, "job.progressed", locked)


def _pause_between(deed: Deed, job: Job) -> float:
    """Seconds between two rows that keep the pace the deed asks for."""
    pace = deed.per_second(job.options) if deed.per_second else None
    return 1 / pace if pace else 0.0


# --- Exports


def _export(job: Job, actor: Actor) -> None:
    with transaction.atomic():
        locked = _locked(job.pk, State.COUNTING, State.RUNNING)
        if locked.state == State.COUNTING:
            locked.state, locked.started_at = State.RUNNING, timezone.now()
            locked.total = planned_rows(listing_of(locked, actor), locked.chosen, locked.snapshot_at).count()
            locked.save(update_fields=["state", "started_at", "total"])
            tell(WORKER, "job.begun", locked)
    began = time.monotonic()

    def go_on(written: int) -> None:
        """Note how far it is; raises `Ended` when it is to stop."""
        with transaction.atomic():
            locked = _locked(job.pk, State.RUNNING)
            locked.done, locked.worked = written, timedelta(seconds=time.monotonic() - began)
            locked.save(update_fields=["done", "worked"])
            tell(WORKER, "job.progressed", locked)

    listing = listing_of(locked, actor)
    rows = planned_rows(listing, locked.chosen, locked.snapshot_at)
    file = write_export(rows, listing, format=locked.options["format"], go_on=go_on)
    _finish(job.pk, State.DONE, file=file.name, file_size=file.size, file_until=file.until)


# --- Ends


def _settle(job_id: UUID) -> None:
    """What was cancelled while a worker was at it has ended now."""
    with transaction.atomic():
        job = _jobs().select_for_update(no_key=True, of=("self",)).get(pk=job_id)
        if job.state == State.CANCELLING:
            job.state, job.ended_at = State.CANCELLED, timezone.now()
            job.save(update_fields=["state", "ended_at"])
            tell(WORKER, "job.stopped", job)


def _finish(job_id: UUID, state: State, **fields: Any) -> None:
    with transaction.atomic():
        job = _jobs().select_for_update(no_key=True, of=("self",)).get(pk=job_id)
        if job.is_finished:
            return
        job.state, job.ended_at = state, timezone.now()
        for name, value in fields.items():
            setattr(job, name, value)
        job.save(update_fields=["state", "ended_at", *fields])
        tell(WORKER, "job.ended", job, state=job.state, problem=job.problem)


def _locked(job_id: UUID, *states: State) -> Job:
    """The job under its lock, if it is in one of the states; raises `Ended`."""
    job: Job = _jobs().select_for_update(no_key=True, of=("self",)).get(pk=job_id)
    if job.state not in states:
        raise Ended
    return job


def listing_of(job: Job, actor: Actor) -> Listing:
    """The list as the job's filter asks for it, for this actor."""
    return SPECS[job.list_name].asked(job.query, actor)


def _actor_of(job: Job) -> Actor:
    """Who started it, with the rights of now. Raises `Forbidden` when they left the organization it is of."""
    actor = actor_named(job.user_id)
    if actor.organization_id != job.organization_id:
        raise Forbidden("Who started this is not in the organization any more.")
    return actor


def _jobs() -> Any:
    return Job.objects.visible_to(WORKER)


def _short(words: str) -> str:
    return words[:300]
