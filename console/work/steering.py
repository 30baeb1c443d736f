"""Pausing, resuming and cancelling long work; each takes effect before the next row."""

from django.db import transaction
from django.utils import timezone

from console.models import Job
from console.work.deeds import DEEDS
from console.work.telling import tell, wake_job
from core.actor import Actor, Role
from core.errors import Conflict, Forbidden

State = Job.State


class WrongState(Conflict):
    """The job is not in a state for that any more."""

    code = "wrong_state"


def pause_job(actor: Actor, job: Job) -> Job:
    """Stop before the next row, until resumed. Raises `Forbidden`, `WrongState`."""
    with transaction.atomic():
        job = _steer(actor, job, {State.RUNNING: State.PAUSED})
        tell(actor, "job.paused", job)
    return job


def resume_job(actor: Actor, job: Job) -> Job:
    """Go on where it stopped. Raises `Forbidden`, `WrongState`."""
    with transaction.atomic():
        job = _steer(actor, job, {State.PAUSED: State.RUNNING})
        tell(actor, "job.resumed", job)
        wake_job(job.pk)
    return job


def cancel_job(actor: Actor, job: Job) -> Job:
    """End it: what was done stays done, the rest is not begun. Raises `Forbidden`, `WrongState`."""
    at_once = dict.fromkeys([State.HELD, State.PAUSED], State.CANCELLED)
    by_the_worker = dict.fromkeys([State.COUNTING, State.RUNNING], State.CANCELLING)
    with transaction.atomic():
        job = _steer(actor, job, at_once | by_the_worker)
        tell(actor, "job.cancelled", job)
        wake_job(job.pk)
    return job


def may_steer(actor: Actor, job: Job) -> bool:
    """Whoever started it, and whoever could have; an export only who started it and operators."""
    if actor.id == str(job.user_id) or actor.role is Role.OPERATOR:
        return True
    deed = DEEDS.get(job.deed)
    return deed is not None and actor.may(deed.role)


def _steer(actor: Actor, job: Job, ways: dict[State, State]) -> Job:
    if not may_steer(actor, job):
        raise Forbidden()
    locked = Job.objects.visible_to(actor).select_for_update(no_key=True, of=("self",)).get(pk=job.pk)
    if State(locked.state) not in ways:
        raise WrongState(f"The job is {locked.state}.")
    locked.state = ways[State(locked.state)]
    locked.ended_at = timezone.now() if locked.is_finished else None
    locked.save(update_fields=["state", "ended_at"])
    return locked
