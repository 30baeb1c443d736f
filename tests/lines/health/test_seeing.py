"""From probes and reports to what is kept of a line, and the jobs that look."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from imessage.models import Message
from imessage.queues import tell_queues
from lines import jobs
from lines.health import incidents, seeing
from lines.models import Callback, Dispatch, Incident, Line, LineEvent, LineHealth, LineReading, ProviderAccount
from lines.providers.base import LineReading as Reading
from tests import make
from tests.lines.health.conftest import WatchedDriver
from tests.providers.scripted import event, forget_jobs, tell, text_event, waiting_jobs

pytestmark = pytest.mark.django_db

GOOD = Reading(state="healthy", reachable=True)
MISSED = Reading(state="down", reasons=["no_answer"], reachable=False)


@pytest.mark.parametrize(
    ("reading", "seen", "codes"),
    [
        (GOOD, "healthy", []),
        (
            Reading(state="down", reasons=["unauthorized"], reachable=True, authenticated=False),
            "down",
            "refused_access",
        ),
        (Reading(state="healthy", reachable=True, addresses=["me@example.com"]), "flagged", "wrong_sender"),
        (Reading(state="flagged", reasons=["line_blocked"], reachable=True), "flagged", "blocked"),
        (Reading(state="down", reasons=["signed_out"], reachable=True), "down", "signed_out"),
    ],
)
def test_a_reading_is_judged_at_once_where_that_is_due(
    reading: Reading, seen: str, codes: str | list[str], watched: Line
) -> None:
    line = seeing.take(watched, reading)
    assert (line.seen, line.seen_reasons) == (seen, [codes] if isinstance(codes, str) else codes)


def test_a_reading_is_kept_with_its_raw_answer_and_no_more_of_it_than_is_sane(watched: Line) -> None:
    raw = {"a": "x" * 1000, "b": [object()] * 500, "c": {"d": None}, "e": "\0"}
    seeing.take(watched, Reading(state="healthy", reachable=True, software="1" * 99, raw=raw))
    kept = LineReading.objects.get()
    assert (len(kept.raw["a"]), len(kept.raw["b"]), kept.raw["c"], kept.raw["e"]) == (500, 100, {"d": None}, "")


def test_proof_of_life_is_a_probe_that_was_answered(watched: Line) -> None:
    now = timezone.now()
    seeing.take(watched, GOOD, now=now)
    line = seeing.take(watched, MISSED, now=now + timedelta(minutes=1))
    assert (line.proof_of_life_at, line.health.failed_probes) == (now, 1)
    assert seeing.take(line, GOOD, now=now + timedelta(minutes=2)).health.failed_probes == 0


def test_a_change_keeps_the_numbers_that_were_not_good(watched: Line) -> None:
    now = timezone.now()
    bad = {"value": 40, "sample": 1, "at": now.isoformat(), "level": "degraded"}
    LineHealth.objects.create(line=watched, signals={"clock": bad, "load": {**bad, "level": "good"}})
    for _ in range(2):
        seeing.take(watched, GOOD, now=now)
    change = LineEvent.objects.get()
    assert (change.after, change.reason, list(change.readings)) == ("degraded", "clock", ["clock"])


def test_a_provider_that_hangs_is_asked_about_two_lines_alone(
    watched: Line, account: ProviderAccount, driver: WatchedDriver
) -> None:
    for _ in range(4):
        make.make_line(account=account)
    driver.reading = MISSED
    jobs.probe_account(str(account.id), of="all")
    assert driver.probes == 2
    assert list(LineHealth.objects.values_list("failed_probes", flat=True)) == [1] * 5


def test_each_account_is_looked_at_by_a_job_of_its_own(watched: Line, line: Line) -> None:
    seeing.see(watched, seen="down", reasons=[])
    forget_jobs()
    jobs.probe_troubled(0)
    assert [job["args"]["account_id"] for job in waiting_jobs("lines.probe_account")] == [str(watched.account_id)]
    jobs.measure(0)
    assert len(waiting_jobs("lines.probe_account")) == 3


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([{"status": "delivered"}], (True, False, False)),
        ([{"status": "failed", "error": {"code": "filtered", "message": "No."}}], (False, True, True)),
        ([{"status": "failed", "error": {"code": "filtered"}}, {"status": "delivered"}], (True, False, False)),
        ([{"status": "delivered"}, {"status": "failed", "error": {"code": "filtered"}}], (True, False, False)),
        ([{"status": "failed", "error": {"code": "not_on_imessage"}}], (False, True, False)),
    ],
)
def test_a_status_is_kept_on_its_call(
    statuses: list[dict[str, Any]], expected: tuple[bool, bool, bool], line: Line
) -> None:
    call = Dispatch.objects.create(
        kind="test", order_id="01a1ff3a-4592-756d-97c6-b1de1d03bb60", attempt=1, line=line, human=make.HUMAN,
        outcome="accepted", handle="h1",
    )  # fmt: skip
    for status in statuses:
        tell(line.account, event("message.status", line, message_id="h1", **status))
    call.refresh_from_db()
    assert (call.delivered_at is not None, call.failed_at is not None, call.counts_against_line) == expected


def test_a_callback_is_kept_with_what_it_came_to(line: Line) -> None:
    callback = tell(line.account, text_event(line))
    assert (callback.kind, callback.line, callback.human, callback.state) == ("text", line, make.HUMAN, "unrouted")
    strange = tell(line.account, json.dumps({"id": "x", "type": "new.thing", "data": {}}).encode())
    assert (strange.kind, strange.line) == ("", None)
    assert Callback.objects.exclude(provider_at=None).count() == 1


def test_queues_are_told_and_forgotten(line: Line) -> None:
    conversation = make.make_conversation(connection=make.make_connection(line=line))
    seeing.see(line, seen="down", reasons=["offline"])
    since = timezone.now() - timedelta(minutes=3)
    for _ in range(2):
        make.make_message(conversation, direction="outbound", status="queued", created_at=since)
    tell_queues()
    health = LineHealth.objects.get(line=line)
    assert (health.queue_depth, health.queue_oldest_at) == (2, since)
    touched = Incident.objects.get().humans.get()
    assert (touched.human, touched.how, touched.texts) == (make.HUMAN, "held", 2)
    Message.objects.update(status="sent")
    tell_queues()
    health.refresh_from_db()
    assert (health.queue_depth, health.queue_oldest_at) == (0, None)


def test_an_incident_keeps_its_course(watched: Line) -> None:
    for seen, reasons in (("degraded", ["clock"]), ("down", ["signed_out"]), ("degraded", ["recovering"])):
        seeing.see(watched, seen=seen, reasons=reasons)
    incident = Incident.objects.get()
    assert (incident.cause, incident.causes, incident.worst) == ("clock", ["clock", "signed_out"], "down")
    seeing.see(watched, seen="healthy", reasons=[])
    incidents.count_touched()
    assert Incident.objects.open().count() == 0
