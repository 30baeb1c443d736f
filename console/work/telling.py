"""The events of jobs: who started what on which rows, how far it is and what came of it."""

from typing import Any
from uuid import UUID

from console.models import Job
from core.actor import Actor
from core.wake import wake
from events.record import record

WORKER = Actor.system("jobs")


def tell(actor: Actor, type: str, job: Job, **data: Any) -> None:
    """Record an event of a job, in the transaction that changed it."""
    counts = {"total": job.total, "done": job.done, "failed": job.failed, "skipped": job.skipped}
    facts = {"deed": job.deed, "list": job.list_name, **counts, **data}
    record(actor, type, organization_id=job.organization_id, subject_id=job.id, data=facts)


def wake_job(job_id: UUID, **when: Any) -> None:
    """Have a worker look at the job; jobs of one lock run one after the other."""
    wake("console.work", lock=f"work:{job_id}", once=f"work:{job_id}", job_id=str(job_id), **when)
