"""Work on many rows: a deed is registered once per list; a job does it to all that match, or to a selection."""

from console.work.deeds import DEEDS, EXPORT, HOLD, Deed, Skipped, allowed_deeds, deeds_of
from console.work.starting import Plan, start_export, start_job
from console.work.steering import cancel_job, pause_job, resume_job

__all__ = [
    "DEEDS",
    "EXPORT",
    "HOLD",
    "Deed",
    "Plan",
    "Skipped",
    "allowed_deeds",
    "cancel_job",
    "deeds_of",
    "pause_job",
    "resume_job",
    "start_export",
    "start_job",
]
