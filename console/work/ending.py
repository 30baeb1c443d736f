"""The end of what work leaves behind: exported files after a week."""

from django.db import transaction
from django.utils import timezone

from console.models import Job
from console.work.exporting import forget_export
from console.work.telling import WORKER, tell


def forget_old_exports() -> int:
    """Delete files past their time; how many."""
    old = Job.objects.visible_to(WORKER).filter(file_until__lt=timezone.now()).exclude(file="")
    jobs = list(old.order_by("pk")[:500])
    for job in jobs:
        forget_export(job.file)
        with transaction.atomic():
            job.file = ""
            job.save(update_fields=["file"])
            tell(WORKER, "job.file_forgotten", job)
    return len(jobs)
