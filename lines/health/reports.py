"""What providers report, kept where a line's health is measured from; in the transaction that applies the report."""

from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from lines.models import Callback, Dispatch, Line
from lines.providers.base import (
    OptedOut,
    ReadReported,
    Report,
    StatusChanged,
    TapbackArrived,
    TapbackTextArrived,
    TextArrived,
    Unrecognised,
)

# What a callback came to, in a word; `text` and `opted_out` are counted.
_KINDS: dict[type[Report], str] = {
    TextArrived: "text",
    TapbackTextArrived: "text",
    StatusChanged: "status",
    ReadReported: "read",
    TapbackArrived: "tapback",
    OptedOut: "opted_out",
    Unrecognised: "unrecognised",
}

# What a callback's row is saved with besides its state.
COLUMNS = ("kind", "line", "human", "provider_at")


def note_report(callback: Callback, line: Line, report: Report) -> None:
    """Put on a callback what it came to, by its first report; the caller saves it. A stop word is also a text."""
    if callback.line_id:
        callback.kind = _KINDS[OptedOut] if isinstance(report, OptedOut) else callback.kind
        return
    callback.kind = _KINDS.get(type(report), "other")
    callback.line = line
    callback.human = report.human[:100]
    callback.provider_at = report.at


def note_status(dispatch: Dispatch, report: StatusChanged) -> None:
    """Put on a call what was reported of its text later. Delivered beats failed, as it does on the message."""
    changes: dict[str, object] = {}
    if report.downgraded is not None:
        changes["was_downgraded"] = report.downgraded
    if report.state == "delivered":
        changes |= {"delivered_at": _between(dispatch, report.at), "failed_at": None}
        if dispatch.outcome != Dispatch.Outcome.REFUSED:
            changes["counts_against_line"] = False
    elif report.state in {"error", "declined"} and dispatch.delivered_at is None:
        changes["failed_at"] = timezone.now()
        if report.error:
            changes["counts_against_line"] = report.error.counts_against_line
            changes["error_class"] = report.error.error_class
            changes["error_code"] = report.error.code[:60]
            changes["error_text"] = report.error.text[:500]
    if changes:
        Dispatch.objects.filter(pk=dispatch.pk).update(**changes)


def note_read(line: Line, handle: str, *, at: datetime | None) -> None:
    """A text that was read had arrived."""
    for dispatch in Dispatch.objects.filter(Q(delivered_at=None), line=line, handle=handle).exclude(handle=""):
        Dispatch.objects.filter(pk=dispatch.pk).update(delivered_at=_between(dispatch, at), failed_at=None)


def _between(dispatch: Dispatch, at: datetime | None) -> datetime:
    """The provider's time of something, never before the text left and never to come: its clock is not ours."""
    now = timezone.now()
    return min(max(at or now, dispatch.claimed_at), now)
