"""The console's own jobs: long work on lists, and the end of old exports."""

from uuid import UUID

from procrastinate.contrib.django import app

from console.rehearsing import rehearse
from console.work.ending import forget_old_exports
from console.work.running import run_job, wake_due_jobs


@app.task(name="console.work")
def work(job_id: str) -> None:
    """Go on with one job of a list; `lock` and `queueing_lock` are the job."""
    run_job(UUID(job_id))


@app.task(name="console.rehearse")
def rehearse_draft(rehearsal_id: str) -> None:
    """Judge a long history; a rehearsal of a page's length needs no job."""
    rehearse(UUID(rehearsal_id))


@app.periodic(cron="* * * * * */10")
@app.task(name="console.sweep_work", queueing_lock="console.sweep_work")
def sweep_work(timestamp: int) -> None:
    """Nudge jobs whose worker was killed, or whose hold is over."""
    wake_due_jobs()


@app.periodic(cron="41 * * * *")
@app.task(name="console.forget_exports", queueing_lock="console.forget_exports")
def forget_exports(timestamp: int) -> None:
    """Delete exports a week after they were made."""
    forget_old_exports()
