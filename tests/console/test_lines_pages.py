"""The console's Lines: who needs somebody and why, a line's time, its incidents; operators alone."""

from datetime import timedelta
from itertools import product

import pytest
from django.test import Client
from django.utils import timezone

from console.bands import Scale, in_words, parts_of, shares_of
from console.counters import forget_counts
from console.pool import at_risk, ranked
from lines.health import incidents, see, showing
from lines.health.showing import Stretch
from lines.health.signals import STALE_AFTER
from lines.health.states import Shown
from lines.models import Incident, IncidentHuman, Line, LineEvent, LineReading
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
