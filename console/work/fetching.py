"""Taking an export, or the list of a job's failures, out of the console: only who may, and never unrecorded."""

from collections.abc import Iterator
from typing import IO

from django.db import transaction

from console.models import Job, JobItem
from console.work.exporting import open_export
from console.work.telling import tell
from core.actor import Actor, Role
from core.errors import Forbidden, NotFound
from core.tables import csv_line


def fetch_export(actor: Actor, job: Job) -> IO[bytes]:
    """The bytes of an export. Raises `Forbidden` for others than who made it: numbers are masked by their rights;
    `NotFound` once it is gone."""
    if not may_fetch(actor, job):
        raise Forbidden()
    try:
        content = open_export(job.file) if job.file else None
    except FileNotFoundError:
        content = None
    if content is None:
        raise NotFound("The file is gone: exports are kept for seven days.")
    with transaction.atomic():
        tell(actor, "job.downloaded", job, file="export")
    return content


def fetch_failures(actor: Actor, job: Job) -> Iterator[bytes]:
    """A job's rows without success, as lines of CSV."""
    with transaction.atomic():
        tell(actor, "job.downloaded", job, file="failures")
    return _lines_of(job)


def may_fetch(actor: Actor, job: Job) -> bool:
    """Who made the export, and operators."""
    return actor.id == str(job.user_id) or actor.role is Role.OPERATOR


def _lines_of(job: Job) -> Iterator[bytes]:
    yield csv_line(["Row", "Result", "Words"]).encode()
    failed = JobItem.objects.filter(job=job, state__in=[JobItem.State.FAILED, JobItem.State.SKIPPED])
    for item in failed.order_by("state", "id").iterator(chunk_size=500):
        yield csv_line([item.subject_id, JobItem.WORDS[item.state], item.words]).encode()
