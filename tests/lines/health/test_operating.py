"""What operators do with a line: each deed, its guard and its trail."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.actor import Role
from core.errors import Conflict, DomainError, Forbidden, Invalid, TooSoon, Upstream
from events.models import Event
from lines import operating
from lines.health import incidents, see, seeing
from lines.models import Dispatch, Incident, Line, LineCap, LineEvent, LineHealth, LineReading, ProviderAccount
from lines.providers import opened
from lines.providers.base import ErrorClass
from lines.providers.base import LineReading as Reading
from tests import make
from tests.lines.health.conftest import WatchedDriver
from tests.providers.scripted import refused, waiting_jobs

pytestmark = pytest.mark.django_db

OLGA = make.operator()
DEEDS: dict[str, dict[str, Any]] = {
    "probe_now": {},
    "send_test": {"to": make.HUMAN},
    "pause": {"reason": "why"},
    "drain": {"reason": "why"},
    "resume": {},
    "quarantine": {"reason": "why"},
    "clear": {"reason": "why"},
    "set_cap": {"name": "capacity", "value": 10, "reason": "why"},
    "repair": {"deed": "restart_messages", "reason": "why"},
    "retire": {"reason": "why"},
}


def flagged(line: Line, *, hours: float = 25) -> Line:
    line = see(line, seen="flagged", reasons=["flagged"])
    Line.objects.filter(pk=line.pk).update(seen_since=timezone.now() - timedelta(hours=hours))
    line.refresh_from_db()
    return line


@pytest.mark.parametrize("deed", DEEDS)
def test_only_operators_may(deed: str, watched: Line) -> None:
    with pytest.raises(Forbidden):
        getattr(operating, deed)(make.admin_of(make.make_organization(), role=Role.ADMIN), watched, **DEEDS[deed])


@pytest.mark.parametrize("deed", [name for name, given in DEEDS.items() if "reason" in given])
def test_what_changes_a_line_says_why(deed: str, watched: Line) -> None:
    line = flagged(watched) if deed == "clear" else watched
    with pytest.raises(Invalid):
        getattr(operating, deed)(OLGA, line, **{**DEEDS[deed], "reason": " "})


def test_a_probe_by_hand_shows_the_raw_answer_and_waits_ten_seconds(watched: Line, driver: WatchedDriver) -> None:
    driver.reading = Reading(state="healthy", reachable=True, raw={"os": "14.5"})
    assert operating.probe_now(OLGA, watched).raw == {"os": "14.5"}
    with pytest.raises(TooSoon) as soon:
        operating.probe_now(OLGA, watched)
    assert soon.value.retry_after
    assert driver.probes == 1
    assert Event.objects.get(type="line.probed").actor["id"] == "tests"


def test_a_test_text_is_a_call_like_any_other(watched: Line, driver: WatchedDriver) -> None:
    sent = operating.send_test(OLGA, watched, to=make.HUMAN)
    assert (sent.kind, sent.outcome, sent.first_contact, driver.sent[0].human) == ("test", "accepted", True, make.HUMAN)


def test_a_test_text_is_refused_while_the_line_is_held_and_by_its_pace(watched: Line, driver: WatchedDriver) -> None:
    operating.send_test(OLGA, watched, to=make.HUMAN)
    with pytest.raises(Conflict, match="pace"):
        operating.send_test(OLGA, watched, to=make.HUMAN)
    operating.pause(OLGA, watched, reason="why")
    with pytest.raises(Conflict):
        operating.send_test(OLGA, watched, to=make.OTHER_HUMAN)
    assert len(driver.sent) == Dispatch.objects.count() == 1


def test_a_refused_test_says_so(watched: Line, driver: WatchedDriver) -> None:
    driver.answers = [refused(ErrorClass.PERMANENT)]
    with pytest.raises(Upstream):
        operating.send_test(OLGA, watched, to=make.HUMAN)
    assert Dispatch.objects.get().outcome == "refused"


@pytest.mark.parametrize(("paused_hours", "ramps"), [(2, False), (25, True)])
def test_a_line_comes_back_slowly_from_a_long_pause(paused_hours: int, ramps: bool, watched: Line) -> None:
    operating.pause(OLGA, watched, reason="moving house")
    LineEvent.objects.update(at=timezone.now() - timedelta(hours=paused_hours))
    line = operating.resume(OLGA, watched)
    assert (line.wanted, line.ramp_since is not None) == ("in_service", ramps)
    assert len(waiting_jobs("imessage.wake_line")) == 1


@pytest.mark.parametrize("deed", ["resume", "clear"])
def test_nothing_leaves_from_a_strange_sender(deed: str, watched: Line, driver: WatchedDriver) -> None:
    driver.reading = Reading(state="healthy", reachable=True, addresses=["someone@example.com"])
    line = seeing.probe(flagged(watched))
    with pytest.raises(operating.WrongSender):
        getattr(operating, deed)(OLGA, line, reason="it is fine")
    driver.reading = Reading(state="healthy", reachable=True, addresses=[line.address])
    seeing.probe(line)
    getattr(operating, deed)(OLGA, line, reason="it is fine")


def test_a_quarantine_holds_and_is_cleared_after_a_day_with_a_ramp(watched: Line) -> None:
    line = operating.quarantine(OLGA, watched, reason="junk reports")
    assert (line.seen, line.seen_reasons, line.holds_queue) == ("flagged", ["quarantined"], True)
    assert LineEvent.objects.get().reason == "quarantined: junk reports"
    with pytest.raises(operating.StillFlagged):
        operating.clear(OLGA, line, reason="looks fine")
    Line.objects.filter(pk=line.pk).update(seen_since=timezone.now() - timedelta(hours=25))
    line = operating.clear(OLGA, line, reason="looks fine")
    assert (line.seen, line.seen_reasons, line.ramp_since is not None) == ("degraded", ["recovering"], True)
    line = seeing.probe(line)
    assert (line.allowance, Incident.objects.open().count()) == ("slowed", 1)


def test_a_second_confirmation_clears_early(watched: Line) -> None:
    line = operating.quarantine(OLGA, watched, reason="a mistake")
    assert operating.clear(OLGA, line, reason="a mistake", though_early=True).seen == "degraded"
    with pytest.raises(Conflict):
        operating.clear(OLGA, line, reason="again")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("capacity", 0, "at least 1"),
        ("speed", 3, "no limit"),
        ("new_per_day", 41, "allows 40"),
        ("human_gap", 1, "asks for 2"),
    ],
)
def test_a_cap_is_never_above_the_providers(name: str, value: float, problem: str, watched: Line) -> None:
    with pytest.raises(Invalid, match=problem):
        operating.set_cap(OLGA, watched, name=name, value=value, reason="why")
    assert not LineCap.objects.exists()


def test_a_cap_ends_and_puts_back_what_was(watched: Line) -> None:
    Line.objects.filter(pk=watched.pk).update(limits={"new_per_day": 30})
    now = timezone.now()
    operating.set_cap(OLGA, watched, name="new_per_day", value=10, reason="quiet", until=now + timedelta(hours=1))
    operating.set_cap(OLGA, watched, name="new_per_day", value=5, reason="quieter", until=now + timedelta(hours=2))
    operating.set_cap(OLGA, watched, name="human_gap", value=5, reason="for good")
    watched.refresh_from_db()
    assert watched.limits == {"new_per_day": 5, "human_gap": 5}
    operating.end_caps(now=now + timedelta(hours=3))
    watched.refresh_from_db()
    assert watched.limits == {"new_per_day": 30, "human_gap": 5}
    assert Event.objects.filter(type="line.capped").count() == 4


def test_a_repair_stops_the_queue_first_and_is_not_begun_twice(watched: Line, driver: WatchedDriver) -> None:
    line = operating.repair(OLGA, watched, deed="restart_messages", reason="nothing comes in")
    assert (line.seen, line.seen_reasons, driver.repaired) == ("down", ["repairing"], ["restart_messages"])
    with pytest.raises(TooSoon):
        operating.repair(OLGA, line, deed="restart_messages", reason="again")
    assert seeing.probe(line).seen_reasons == ["recovering"]


def test_only_what_the_card_names_is_repaired(watched: Line) -> None:
    with pytest.raises(Invalid, match="restart_messages"):
        operating.repair(OLGA, watched, deed="reboot", reason="why")


def test_callbacks_are_asked_for_again(account: ProviderAccount, driver: WatchedDriver) -> None:
    assert operating.reinstall_callbacks(OLGA, account).urls
    driver.repair_fails = True
    with pytest.raises(Upstream):
        operating.reinstall_callbacks(OLGA, account)


def test_a_rotated_secret_is_told_and_the_former_stays_valid(account: ProviderAccount, driver: WatchedDriver) -> None:
    before = opened(account).callback_secret
    operating.rotate_callback_secret(OLGA, account)
    account.refresh_from_db()
    newest, *former = opened(account).callback_secrets
    assert (driver.installed, former) == ([newest], [before])


def test_a_line_retires_when_nobody_is_connected_over_it(watched: Line) -> None:
    connection = make.make_connection(line=watched)
    with pytest.raises(operating.StillCarries):
        operating.retire(OLGA, watched, reason="old")
    connection.line.routes.update(held_until=timezone.now())
    assert operating.retire(OLGA, watched, reason="old").wanted == "retired"
    with pytest.raises(Conflict):
        operating.resume(OLGA, watched)


def test_the_forecast_says_whom_a_stop_touches(watched: Line) -> None:
    make.make_connection(line=watched)
    LineHealth.objects.create(line=watched, queue_depth=3, queue_oldest_at=timezone.now())
    assert operating.forecast(watched).words == (
        "1 humans are connected over it, 0 talked in the last day; 3 texts wait already."
    )


def test_incidents_by_hand_have_notes_and_end_by_hand(watched: Line) -> None:
    incident = incidents.open_incident(OLGA, watched, text="Humans complain of double texts.")
    with pytest.raises(Conflict):
        incidents.open_incident(OLGA, watched, text="Again.")
    seeing.probe(watched)
    incident.refresh_from_db()
    assert incident.closed_at is None
    assert incidents.close_incident(OLGA, incident, text="It was the carrier.").closed_at
    assert [note.text for note in incident.notes.order_by("id")] == [
        "Humans complain of double texts.",
        "It was the carrier.",
    ]
    with pytest.raises(DomainError):
        incidents.note(OLGA, watched, text=" ")
    assert LineReading.objects.count() == 1
