"""Each row of contract/lines.md 7.1: the network misbehaves so, and the state, its reason, the incident and the alert
are right within the stated time, and go as stated when it is over."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.test import Client

from core import secrets
from lines import callbacks, operating
from lines.health.states import Shown
from lines.models import Line, LineHour, ProviderAccount
from tests import make
from tests.lines.health.shift import HUMANS, Shift
from tests.lines.health.traffic import sent
from tests.providers.scripted import text_event
from tests.simulator.running import LINE, SECRET, Network, Receiver

pytestmark = pytest.mark.django_db

SETTINGS = (
    *("state", "refuse", "dropped_callback", "deaf", "helper", "sends_from", "clock_offset", "allowance"),
    *("lost_answer", "hold_before", "hold_after"),
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(Path(tmp_path_factory.mktemp("network")))
    assert network.control("PUT", f"/lines/{LINE}", {"kind": "pool"}).status_code == 200
    yield network
    network.kill()


@pytest.fixture(scope="module")
def receiver(network: Network) -> Iterator[Receiver]:
    receiver = Receiver()
    network.v1("PUT", "/callback", {"url": receiver.url, "secret": SECRET})
    yield receiver
    receiver.close()


@pytest.fixture
def shift(network: Network, receiver: Receiver, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shift]:
    """The line in a good minute. What only the poll finds is late at once: these tests do not wait ten seconds."""
    monkeypatch.setattr(callbacks, "_STILL_ON_ITS_WAY", callbacks.timedelta(0))
    events = network.v1("GET", "/events", limit=1000).json()["next"]
    account = make.make_account(
        "network",
        base_url=network.url,
        sealed_token=secrets.seal("provider-token"),
        sealed_callback_secret=secrets.seal(SECRET),
        poll_cursor=str(events),
    )
    make.make_line(account=make.make_account("spare"))  # so that the pool as a whole has no trouble
    shift = Shift(network, receiver, make.make_line(LINE, account=account), told=len(receiver.posts))
    shift.minutes()
    assert shift.row.word is Shown.ACTIVE
    yield shift
    shift.set_faults(**dict.fromkeys(SETTINGS))
    for human in HUMANS:
        network.control("PUT", f"/handsets/{human}/service", {"service": "imessage"})


def each_handset(shift: Shift, service: str) -> None:
    for human in HUMANS:
        shift.network.control("PUT", f"/handsets/{human}/service", {"service": service})


# --- What goes wrong, and how it is put right


def taken_and_never_delivered(shift: Shift) -> None:
    shift.say(*HUMANS)
    each_handset(shift, "off")
    shift.say(*HUMANS)
    shift.jump(minutes=10)


def cleared_by_an_operator(shift: Shift) -> None:
    each_handset(shift, "imessage")
    shift.minutes()
    assert shift.row.word is Shown.QUARANTINED
    touched = set(shift.incident.humans.values_list("human", "how"))
    assert touched == {(human, "unconfirmed") for human in HUMANS}
    assert shift.incident.touched == len(HUMANS)
    with pytest.raises(operating.StillFlagged):
        operating.clear(make.operator(), shift.line, reason="It delivers again.")
    shift.line = operating.clear(make.operator(), shift.line, reason="It delivers again.", though_early=True)
    shift.say(*HUMANS)


def every_send_refused(shift: Shift) -> None:
    shift.set_faults(refuse={"every": 1, "status": 403, "code": "filtered", "message": "Carrier filter."})
    shift.say(*HUMANS[:7])


def helper_gone(shift: Shift) -> None:
    shift.set_faults(helper=False)
    shift.minutes()
    assert shift.row.word is Shown.ACTIVE  # a restart loads it again within a minute or two
    shift.jump(minutes=9)


def watcher_dead(shift: Shift) -> None:
    shift.set_faults(dropped_callback={"every": 1})
    for human in HUMANS[:3]:
        shift.network.text_in("anybody?", human, LINE)


def watcher_alive(shift: Shift) -> None:
    shift.set_faults(dropped_callback=None)
    shift.jump(minutes=61)


def nothing_comes_in(shift: Shift) -> None:
    hour = shift.now.replace(minute=0, second=0, microsecond=0)
    LineHour.objects.bulk_create(
        LineHour(line=shift.line, hour=hour - callbacks.timedelta(hours=hours), inbound=4) for hours in range(1, 240)
    )
    shift.set_faults(deaf=True)
    shift.network.text_in("hello?", HUMANS[0], LINE)
    shift.jump(hours=7)
    shift.say(HUMANS[0])


def it_hears_again(shift: Shift) -> None:
    shift.set_faults(deaf=None)
    shift.network.text_in("at last", HUMANS[0], LINE)
    shift.hear()
    # Received just now by the clock of the job, too.
    shift.line.account.callbacks.update(received_at=shift.now)


def heard_late(shift: Shift) -> None:
    for number, human in enumerate(HUMANS[:3]):
        at = (shift.now - callbacks.timedelta(minutes=10)).isoformat()
        body = text_event(shift.line, human=human, message_id=f"idle{number}", sent_at=at)
        callbacks.store(shift.line.account, body, polled=False)


def an_attachment_stalls(shift: Shift) -> None:
    for _ in range(5):
        sent(shift.line, at=shift.now - callbacks.timedelta(seconds=40), took=25)


def a_quarter_later(shift: Shift) -> None:
    shift.jump(minutes=16)


def unreachable(shift: Shift) -> None:
    ProviderAccount.objects.filter(pk=shift.line.account_id).update(base_url="http://127.0.0.1:9")
    shift.refresh()
    shift.minutes(2)
    assert shift.row.word is Shown.ACTIVE
    shift.minutes()
    assert shift.row.word is Shown.UNKNOWN
    shift.minutes(2)
    assert shift.row.word is Shown.DOWN


def reachable_after_six_hours(shift: Shift) -> None:
    shift.jump(hours=6)
    shift.minutes()
    assert shift.row.word is Shown.DOWN
    ProviderAccount.objects.filter(pk=shift.line.account_id).update(base_url=shift.network.url)
    shift.refresh()


def sms_instead(shift: Shift) -> None:
    each_handset(shift, "sms")
    shift.say(*HUMANS, times=2, service="auto")


def key_revoked(shift: Shift) -> None:
    ProviderAccount.objects.filter(pk=shift.line.account_id).update(sealed_token=secrets.seal("old"))
    shift.refresh()


def key_replaced(shift: Shift) -> None:
    ProviderAccount.objects.filter(pk=shift.line.account_id).update(sealed_token=secrets.seal("provider-token"))
    shift.refresh()


def line_replaced(shift: Shift) -> None:
    Line.objects.filter(pk=shift.line.pk).update(address="+15555550198")
    shift.refresh()


def line_returned(shift: Shift) -> None:
    Line.objects.filter(pk=shift.line.pk).update(address=LINE)
    shift.refresh()


def secret_differs(shift: Shift) -> None:
    strange = "whsec_" + base64.b64encode(b"x" * 32).decode()
    url = f"/callbacks/{shift.line.account_id}"
    for _ in range(5):
        body = b'{"id": "evt", "type": "message.status", "data": {}}'
        assert Client().post(url, body, content_type="application/json", headers={"X": strange}).status_code == 401


def nothing(shift: Shift) -> None:
    shift.jump(minutes=61)


def faults(**settings: object) -> Callable[[Shift], None]:
    return lambda shift: shift.set_faults(**settings)


@dataclass(frozen=True)
class Row:
    """`after` and `back_after` are minutes, by the rounds of the job."""

    fault: str
    happens: Callable[[Shift], None]
    after: int
    word: Shown
    code: str
    alerts: set[str]
    ends: Callable[[Shift], None]
    at_once: Shown
    back_after: int
    back: Shown = Shown.ACTIVE


ROWS = [
    Row("flagged silently", taken_and_never_delivered, 2, Shown.QUARANTINED, "unconfirmed", {"flagged"},
        cleared_by_an_operator, Shown.DEGRADED, 6, Shown.LIMITED),
    Row("flagged, says the provider", faults(state="flagged"), 1, Shown.QUARANTINED, "flagged", {"flagged"},
        faults(state=None), Shown.QUARANTINED, 6, Shown.QUARANTINED),
    Row("every send refused", every_send_refused, 1, Shown.DOWN, "errors_in_a_row", set(),
        faults(refuse=None), Shown.DOWN, 7),
    Row("signed out", faults(state="signed_out"), 6, Shown.DOWN, "signed_out", {"down"},
        faults(state=None), Shown.DEGRADED, 6),
    Row("wrong sender address", faults(sends_from="me@example.com"), 1, Shown.QUARANTINED, "wrong_sender",
        {"wrong_sender"}, faults(sends_from=None), Shown.QUARANTINED, 6, Shown.QUARANTINED),
    Row("helper lost", helper_gone, 2, Shown.DEGRADED, "helper_lost", set(), faults(helper=None), Shown.DEGRADED, 6),
    Row("webhooks lost", watcher_dead, 2, Shown.DEGRADED, "callback_gap", set(), watcher_alive, Shown.DEGRADED, 6),
    Row("silent death of inbound", nothing_comes_in, 2, Shown.DEGRADED, "inbound_silence", set(),
        it_hears_again, Shown.DEGRADED, 6),
    Row("inbound late", heard_late, 2, Shown.DEGRADED, "inbound_delay", set(), a_quarter_later, Shown.DEGRADED, 6),
    Row("attachments stall", an_attachment_stalls, 2, Shown.DEGRADED, "hand_over_time", set(),
        a_quarter_later, Shown.DEGRADED, 6),
    Row("provider down six hours", unreachable, 5, Shown.DOWN, "unreachable", {"down"},
        reachable_after_six_hours, Shown.DEGRADED, 6),
    Row("clock off", faults(clock_offset=90), 3, Shown.DEGRADED, "clock", set(),
        faults(clock_offset=None), Shown.DEGRADED, 7),
    Row("downgrades rising", sms_instead, 2, Shown.DEGRADED, "downgrades", set(),
        lambda shift: shift.jump(hours=25), Shown.DEGRADED, 6),
    Row("device offline", faults(state="offline"), 7, Shown.DOWN, "offline", {"down"},
        faults(state=None), Shown.DEGRADED, 6),
    Row("key revoked", key_revoked, 6, Shown.DOWN, "refused_access", {"down"}, key_replaced, Shown.DEGRADED, 6),
    Row("line replaced", line_replaced, 7, Shown.DOWN, "unknown_line", {"down"}, line_returned, Shown.DEGRADED, 6),
    Row("our callback refused", secret_differs, 2, Shown.DEGRADED, "refused_callbacks", {"callbacks_refused"},
        nothing, Shown.DEGRADED, 6),
]  # fmt: skip


# What is like one of the others, or proved on a Mac (`test_mac.py`), takes its time in a soak.
LIKE_OTHERS = {
    *("signed out", "helper lost", "webhooks lost", "clock off"),
    *("flagged, says the provider", "every send refused", "inbound late", "attachments stall", "downgrades rising"),
    *("device offline", "key revoked", "line replaced", "our callback refused"),
}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.fault.replace(" ", "_"), marks=[pytest.mark.soak] if row.fault in LIKE_OTHERS else [])
        for row in ROWS
    ],
)
def test_a_fault_is_shown_and_goes(row: Row, shift: Shift) -> None:
    row.happens(shift)
    shift.minutes(row.after)
    assert (shift.row.word, row.code in shift.codes, shift.alerts) == (row.word, True, row.alerts)
    assert (shift.incident.closed_at, shift.incident.cause) == (None, row.code)
    row.ends(shift)
    shift.minutes()
    assert shift.row.word is row.at_once
    shift.minutes(row.back_after)
    assert shift.row.word is row.back
    is_over = row.back is not Shown.QUARANTINED
    assert (shift.incident.closed_at is not None, shift.alerts == set()) == (is_over, is_over)


def test_a_used_up_allowance_limits_a_line_and_is_no_illness(shift: Shift) -> None:
    shift.set_faults(allowance={"hour": 0, "day": 0})
    shift.minutes(2)
    assert (shift.row.word, shift.row.incident) == (Shown.LIMITED, None)
    shift.set_faults(allowance=None)
    shift.minutes(2)
    assert shift.row.word is Shown.ACTIVE


@pytest.mark.soak
def test_a_human_without_imessage_says_nothing_of_the_line(shift: Shift) -> None:
    each_handset(shift, "sms")
    shift.say(*HUMANS)
    shift.minutes(2)
    assert shift.row.word is Shown.ACTIVE
