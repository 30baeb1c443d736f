"""A Mac of our own goes wrong, each way that one is known to: what is seen, for what reason, and how it ends."""

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from imessage.models import Message
from lines import polling
from lines.health import alerts, probe
from lines.health.measuring import measure
from lines.models import Alert, Incident, Line, LineEvent
from lines.providers.bluebubbles.place import Place
from lines.provisioning import add_account, install_callbacks
from tests import make
from tests.lines.drivers.bluebubbles.mac import LINE
from tests.lines.drivers.bluebubbles.running import Hand
from tests.providers.scripted import run_jobs

pytestmark = pytest.mark.django_db


@dataclass
class Watched:
    """The line behind the Mac, and a clock of its own."""

    hand: Hand
    line: Line
    now: datetime

    def pass_minutes(self, minutes: int, *, measured: bool = False) -> None:
        """What the jobs do every minute; numbers are measured where the case is about one."""
        for _ in range(minutes):
            self.now += timedelta(minutes=1)
            if measured:
                measure(now=self.now)
            probe(self.line, now=self.now)
            alerts.review(now=self.now)

    def seen(self) -> tuple[str, list[str]]:
        self.line.refresh_from_db()
        return self.line.seen, self.line.seen_reasons

    def alerts(self) -> list[str]:
        return list(Alert.objects.open().filter(line=self.line).values_list("cause", flat=True))

    def is_over(self) -> bool:
        return not Incident.objects.open().exists() and not self.alerts()


def a_moment_ago(cursor: str) -> str:
    """The same cursor, as if that poll had been some seconds ago."""
    place = Place.read(cursor, now=0)
    return str(replace(place, read_to=place.read_to - 15_000))


@pytest.fixture
def mac(hand: Hand, db: None) -> Watched:
    hand.forget()
    make.make_line()  # the pool as a whole has no trouble
    account = add_account(make.operator(), name="mac-1", provider="bluebubbles", base_url=hand.url, token=Hand.password)
    install_callbacks(account)
    line = make.make_line(LINE, account=account)
    mac = Watched(hand, line, timezone.now())
    mac.pass_minutes(1)
    assert mac.seen() == ("healthy", [])
    return mac


def test_signed_out_is_down_at_once_and_flows_again_at_the_first_good_probe(mac: Watched) -> None:
    mac.hand.set(login="Signed out")
    mac.pass_minutes(1)
    assert mac.seen() == ("down", ["signed_out"])
    assert (Incident.objects.open().get().cause, mac.alerts()) == ("signed_out", [])
    mac.pass_minutes(5)
    assert mac.alerts() == ["down"]
    mac.hand.set(login="Connected")
    mac.pass_minutes(1)
    assert mac.seen() == ("degraded", ["recovering"])
    mac.pass_minutes(6)
    assert (mac.seen(), mac.is_over()) == (("healthy", []), True)


def test_a_strange_sender_quarantines_at_once_and_only_an_operator_ends_it(mac: Watched) -> None:
    mac.hand.set(active_alias="line@example.org")
    mac.pass_minutes(1)
    assert (mac.seen(), mac.alerts()) == (("flagged", ["wrong_sender"]), ["wrong_sender"])
    assert mac.line.holds_queue
    mac.hand.set(active_alias=LINE)
    mac.pass_minutes(8)
    assert mac.seen()[0] == "flagged"


def test_a_lost_helper_is_forgiven_for_ten_minutes(mac: Watched) -> None:
    mac.hand.set(helper=False)
    mac.pass_minutes(9)
    assert mac.seen() == ("healthy", [])
    mac.pass_minutes(4)
    assert (mac.seen(), mac.line.holds_queue) == (("degraded", ["helper_lost"]), False)
    assert {"tapback", "typing", "effects"} <= set(mac.line.lost_capabilities)
    mac.hand.set(helper=True)
    mac.pass_minutes(7)
    assert (mac.seen(), mac.is_over(), mac.line.lost_capabilities) == (("healthy", []), True, [])


def test_a_clock_that_is_off_degrades(mac: Watched) -> None:
    mac.hand.set(clock_offset=-45)
    mac.pass_minutes(3, measured=True)
    assert mac.seen() == ("degraded", ["clock"])
    mac.hand.set(clock_offset=0.2)
    mac.pass_minutes(8, measured=True)
    assert (mac.seen(), mac.is_over()) == (("healthy", []), True)


def test_a_dead_watcher_shows_by_what_only_the_poll_finds(mac: Watched) -> None:
    """REST answers, texts leave, and nothing comes in by itself."""
    make.make_connection(line=mac.line)
    mac.hand.set(watcher=False)
    for number in range(4):
        row = mac.hand.hear(make.HUMAN, f"anybody? {number}")
        mac.hand.change(row["guid"], event="", dateCreated=row["dateCreated"] - 60_000)
    polling.poll(mac.line.account)
    run_jobs()
    mac.pass_minutes(3, measured=True)
    assert mac.seen() == ("degraded", ["callback_gap"])
    assert Message.objects.filter(is_late=True).count() == 4


def test_a_mac_that_was_away_is_down_and_what_came_meanwhile_is_found_late(mac: Watched) -> None:
    make.make_connection(line=mac.line)
    mac.hand.set(up=False)
    mac.pass_minutes(5)
    assert mac.seen() == ("down", ["unreachable"])
    mac.hand.set(up=True, deaf=True)
    six_hours_ago = int((time.time() - 6 * 3600) * 1000)
    mac.line.account.poll_cursor = str(Place(read_to=six_hours_ago))
    for hours in (1, 5):
        row = mac.hand.hear(make.HUMAN, f"{hours} h ago")
        mac.hand.change(row["guid"], event="", dateCreated=row["dateCreated"] - hours * 3_600_000)
    polling.poll(mac.line.account)
    row = mac.hand.hear(make.HUMAN, "written down late")
    mac.hand.change(row["guid"], event="", dateCreated=row["dateCreated"] - 2 * 3_600_000)
    mac.line.account.poll_cursor = a_moment_ago(mac.line.account.poll_cursor)
    polling.poll(mac.line.account)
    run_jobs()
    assert sorted(Message.objects.filter(is_late=True).values_list("text", flat=True)) == [
        "1 h ago",
        "5 h ago",
        "written down late",
    ]
    mac.pass_minutes(1)
    assert mac.seen()[0] == "degraded"
    events = LineEvent.objects.filter(line=mac.line).order_by("id")
    assert [event.after for event in events] == ["unknown", "down", "degraded"]
