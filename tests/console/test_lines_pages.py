"""The console's Lines: who needs somebody and why, a line's time, its incidents; operators alone."""

from datetime import timedelta
from itertools import product

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Identity
from console.bands import Scale, in_words, parts_of, shares_of
from console.counters import forget_counts
from console.pool import at_risk, ranked
from lines.health import incidents, see, showing
from lines.health.showing import Stretch
from lines.health.signals import STALE_AFTER
from lines.health.states import Shown
from lines.models import Alert, Incident, IncidentHuman, Line, LineEvent, LineReading, Move
from tests import make

pytestmark = pytest.mark.django_db

OLGA = make.operator()
PAGE = "/console/lines/"


def of(line: Line) -> str:
    return f"{PAGE}{line.pk}/"


def text_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer
    return " ".join(answer.content.decode().split())


# --- Who may look


@pytest.mark.parametrize("who", ["as_alice", "as_bob"])
def test_lines_are_hidden_from_tenants(who: str, line: Line, request: pytest.FixtureRequest) -> None:
    client = request.getfixturevalue(who)
    assert [client.get(address).status_code for address in (PAGE, of(line))] == [404, 404]
    assert 'id="to-lines"' not in text_of(client, "/console/threads/")


# --- The pool


def test_the_word_in_sql_is_the_word_that_is_shown() -> None:
    """One rule, `lines.health.states.shown`: filters and pages must agree with what rows say."""
    now = timezone.now()
    columns = product(Line.Wanted.values, Line.Seen.values, Line.Allowance.values, [now, now - 2 * STALE_AFTER, None])
    for wanted, seen, allowance, proof in columns:
        make.make_line(wanted=wanted, seen=seen, allowance=allowance, proof_of_life_at=proof)
    shown = {row.line.pk: row.word for row in showing.pool(OLGA, lines=Line.objects.all())}
    assert {line.pk: line.word for line in ranked(Line.objects.all())} == shown
    a_probe_counts = make.make_line(proof_of_life_at=None)
    LineReading.objects.create(line=a_probe_counts, state="healthy")
    assert ranked(Line.objects.filter(pk=a_probe_counts.pk)).get().word == "active"


def test_the_line_that_needs_somebody_stands_first_with_its_reason(as_operator: Client, line: Line) -> None:
    worse = make.make_line("+15555550177", seen="down", seen_reasons=["signed_out"])
    shown = text_of(as_operator, PAGE)
    assert "is down.</b> The account is signed out; nothing can be sent." in shown
    assert shown.index(f'id="l-{worse.pk}"') < shown.index(f'id="l-{line.pk}"')
    assert 'id="l-' not in text_of(as_operator, f"{PAGE}?state=limited")
    assert str(line.pk) not in text_of(as_operator, f"{PAGE}?view=risk")


def test_when_nobody_is_needed_it_says_so(as_operator: Client, line: Line) -> None:
    assert "No line needs anybody." in text_of(as_operator, PAGE)


def test_without_lines_it_says_how_to_add_one(as_operator: Client) -> None:
    assert "No line yet" in text_of(as_operator, PAGE)
    assert "Nothing matches" in text_of(as_operator, f"{PAGE}?state=down")


def test_the_rail_counts_lines_at_risk(as_operator: Client, line: Line) -> None:
    make.make_line(seen="flagged", seen_reasons=["unconfirmed"])
    make.make_line(proof_of_life_at=None)
    forget_counts()
    assert at_risk(OLGA) == 2
    assert "2 at risk" in text_of(as_operator, "/console/threads/")


def test_the_palette_finds_a_line_by_a_part_of_its_number(as_operator: Client, as_alice: Client, line: Line) -> None:
    address = f"/console/palette/?q={line.address[-4:]}"
    assert of(line) in text_of(as_operator, address)
    assert of(line) not in text_of(as_alice, address)


# --- One line


def test_a_line_says_how_it_is_and_for_how_long_it_was(as_operator: Client, line: Line) -> None:
    see(line, seen="down", reasons=["signed_out"])
    shown = text_of(as_operator, of(line))
    assert "The account is signed out; nothing can be sent." in shown
    assert "States of the last 24 hours: Down" in shown
    assert "Answers are held; what comes in meanwhile is found later." in shown


def test_keys_walk_from_event_to_event(as_operator: Client, line: Line) -> None:
    for seen, reason in (("degraded", "helper_lost"), ("down", "signed_out")):
        see(line, seen=seen, reasons=[reason])
    first, second = LineEvent.objects.order_by("pk")
    at_first = f"{of(line)}?span=7d&at=e{first.pk}"
    shown = text_of(as_operator, at_first)
    newer = f'data-key="ArrowRight" href="{of(line)}?span=7d&amp;at=e{second.pk}"'
    assert newer in shown
    assert "ArrowLeft" not in shown
    assert f'id="e{first.pk}" class="is-held is-chosen" aria-current="true"' in shown
    assert 'data-key="i"' in shown


def test_what_is_unknown_is_never_shown_as_good(as_operator: Client) -> None:
    line = make.make_line(proof_of_life_at=timezone.now() - timedelta(minutes=10))
    shown = text_of(as_operator, of(line))
    assert "Nothing has proved for a while that the line lives." in shown
    assert "Active</span>" not in shown


def test_a_band_is_drawn_by_shares_and_told_in_words() -> None:
    ends = timezone.now()
    begins = ends - timedelta(hours=24)
    middle = begins + timedelta(hours=6)
    stretches = [Stretch(Shown.ACTIVE, begins, middle, ""), Stretch(Shown.DOWN, middle, ends, "signed_out")]
    parts = parts_of(stretches, Scale(begins, ends))
    assert [(part.x, part.width, part.label) for part in parts] == [(0, 25, "Active"), (25, 75, "Down")]
    assert parts[1].why == "The account is signed out; nothing can be sent."
    assert [(share.label, share.lasted) for share in shares_of(stretches)] == [
        ("Down", timedelta(hours=18)),
        ("Active", timedelta(hours=6)),
    ]
    assert in_words("macOS update") == "MacOS update"


# --- Incidents


def test_an_incident_names_whom_it_touched_and_how(as_operator: Client, line: Line) -> None:
    see(line, seen="down", reasons=["signed_out"])
    incident = Incident.objects.get()
    IncidentHuman.objects.create(incident=incident, human="+15555550142", how="held", first_at=timezone.now())
    incidents.note(OLGA, line, text="The phone is being restarted.", incident=incident)
    shown = text_of(as_operator, f"{of(line)}incidents/{incident.pk}/")
    for words in ("+1 555-555-0142", "A text to them waited", "The phone is being restarted.", "ends by itself"):
        assert words in shown
    other = make.make_line()
    assert as_operator.get(f"{of(other)}incidents/{incident.pk}/").status_code == 404


# --- Deeds


def answer(client: Client, address: str, **given: str) -> tuple[int, str]:
    """What a confirmed deed answers, and where it led or what it said."""
    done = client.post(address, {"confirmed": "1", "reason": "A look at it", **given})
    return done.status_code, done.content.decode()


@pytest.fixture
def connected(line: Line, identity: Identity) -> Line:
    """A line with a human, and another line with room."""
    make.make_connection(identity, line=line)
    make.make_line("+15555550188")
    return line


@pytest.mark.parametrize(
    ("deed", "before", "after"),
    [
        ("pause", {}, {"wanted": "paused"}),
        ("resume", {"wanted": "paused"}, {"wanted": "in_service"}),
        ("drain", {}, {"wanted": "draining"}),
        ("quarantine", {}, {"seen": "flagged"}),
    ],
)
def test_a_deed_shows_whom_it_touches_and_asks_why(
    deed: str, before: dict[str, str], after: dict[str, str], as_operator: Client, connected: Line
) -> None:
    Line.objects.filter(pk=connected.pk).update(**before)
    address = f"{of(connected)}{deed}/"
    assert "<dt>Connected over it</dt><dd>1</dd>" in text_of(as_operator, address)
    status, said = answer(as_operator, address, reason="")
    assert (status, "Say why in a few words" in said) == (422, True)
    assert answer(as_operator, address)[0] == 302
    connected.refresh_from_db()
    assert {name: getattr(connected, name) for name in after} == after
    assert "A look at it" in text_of(as_operator, of(connected))


def test_a_drained_line_moves_its_humans_once_their_number_is_typed(as_operator: Client, connected: Line) -> None:
    address = f"{of(connected)}drain/"
    shown = text_of(as_operator, address)
    assert "<dt>Would move</dt><dd>1 of 1 humans</dd>" in shown
    assert "<dt>To +1 555-555-0188</dt><dd>1</dd>" in shown
    status, said = answer(as_operator, address, then="move", count="7")
    assert (status, "Type 1, the number of humans that move" in said) == (422, True)
    assert not Move.objects.exists()
    assert answer(as_operator, address, then="move", count="1")[0] == 302
    move = Move.objects.get()
    assert (move.line, move.total) == (connected, 1)
    shown = text_of(as_operator, of(connected))
    assert "0 of 1</b> moved" in shown
    assert "Humans move to other lines" in shown
    as_operator.post(f"{of(connected)}moves/{move.pk}/cancel/")
    move.refresh_from_db()
    assert move.state == "cancelled"


def test_clearing_a_fresh_flag_has_to_be_meant_twice(as_operator: Client, line: Line) -> None:
    see(line, seen="flagged", reasons=["unconfirmed"])
    status, said = answer(as_operator, f"{of(line)}clear/")
    assert (status, "rests for 24 hours" in said) == (422, True)
    assert answer(as_operator, f"{of(line)}clear/", anyway="1")[0] == 302
    line.refresh_from_db()
    assert line.seen == "degraded"


def test_a_limit_is_changed_for_a_while(as_operator: Client, line: Line) -> None:
    assert answer(as_operator, f"{of(line)}cap/", name="capacity", value="many")[0] == 422
    assert answer(as_operator, f"{of(line)}cap/", name="capacity", value="40", until="24")[0] == 302
    assert "capacity is 40 until" in text_of(as_operator, of(line))


def test_an_incident_is_opened_and_ended_by_hand_with_a_note(as_operator: Client, line: Line) -> None:
    as_operator.post(f"{of(line)}note/", {"text": "Humans say nothing arrives.", "opens": "1"})
    incident = Incident.objects.get()
    page = f"{of(line)}incidents/{incident.pk}/"
    assert "Humans say nothing arrives." in text_of(as_operator, page)
    as_operator.post(f"{page}note/", {"text": "It was their phone.", "closes": "1"})
    incident.refresh_from_db()
    assert incident.closed_at
    assert "It was their phone." in text_of(as_operator, of(line))


def test_an_alert_is_taken_and_muted(as_operator: Client, line: Line) -> None:
    alert = Alert.objects.create(line=line, cause="down", words="Down for five minutes.")
    assert f'id="take-{alert.pk}"' in text_of(as_operator, of(line))
    as_operator.post(f"{PAGE}alerts/{alert.pk}/acknowledge/")
    as_operator.post(f"{of(line)}mute/", {"until": "4"})
    shown = text_of(as_operator, of(line))
    assert "Taken by olga@example.com" in shown
    assert "Muted until" in shown


def test_no_tenant_does_anything_with_a_line(as_alice: Client, line: Line) -> None:
    for deed in ("pause", "drain", "move", "retire", "cap", "test", "secret"):
        assert answer(as_alice, f"{of(line)}{deed}/")[0] == 404
