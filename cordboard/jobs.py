"""Housekeeping of the job queue itself; the product's own jobs live in each app's `jobs.py`."""

import logging

from procrastinate import JobContext, exceptions, jobs
from procrastinate.contrib.django import app

logger = logging.getLogger(__name__)

# A worker beats every 5 s; one silent for so long is dead or frozen, and its jobs go to another.
STALLED_AFTER = 20


@app.periodic(cron="* * * * * */5")
@app.task(name="cordboard.rescue_stalled_jobs", queueing_lock="cordboard.rescue_stalled_jobs", pass_context=True)
async def rescue_stalled_jobs(context: JobContext, timestamp: int) -> None:
    """Give the jobs of dead workers to living ones; without this task a killed worker's job stays `doing` for ever."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER):
        await _rescue(context, job)


async def _rescue(context: JobContext, job: jobs.Job) -> None:
    manager = context.app.job_manager
    try:
        await manager.retry_job(job)
    except exceptions.UniqueViolation:
        # Its twin with the same queueing_lock waits already and will do the work; this one must let go of the lock.
        await manager.finish_job(job, status=jobs.Status.FAILED, delete_job=False)
    logger.warning("Rescued the job of a dead worker", extra={"job_id": job.id, "task": job.task_name})


@app.periodic(cron="17 * * * *")
@app.task(name="cordboard.forget_finished_jobs", queueing_lock="cordboard.forget_finished_jobs", pass_context=True)
async def forget_finished_jobs(context: JobContext, timestamp: int) -> None:
    """Failed jobs are kept a week for whoever looks into them; successful ones are deleted as they finish."""
    await context.app.job_manager.delete_old_jobs(nb_hours=24 * 7, include_failed=True, include_cancelled=True)
