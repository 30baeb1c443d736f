"""The rail, numbers, times and small drawings, as each reader gets them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as installed
from django.template import Context, Template
from django.test import Client, RequestFactory

from accounts.members import actor_of
from accounts.models import Organization, User
from console import counters
from console.charts import Bar, drawn, line_through
from console.masking import exported_number, masked_within, shown_number
from console.models import Preferences
from console.preferences import save_preferences
from core.actor import Actor
from imessage.models import Conversation
from lines.models import Line
from tests import make

NUMBER = "+15555550123"
NOON = datetime(2026, 7, 1, 12, 0, 5, tzinfo=UTC)


def draw(text: str, reader: Actor | None = None, preferences: Preferences | None = None, **context: Any) -> str:
    request: Any = RequestFactory().get("/")
    if reader:
        request.actor = reader
    if preferences:
        request.preferences = preferences
    return Template("{% load console %}" + text).render(Context({"request": request, **context})).strip()


# --- Numbers


def test_viewers_see_two_digits_of_a_number(alice: User, bob: User) -> None:
    assert draw("{% human n %}", actor_of(alice), n=NUMBER) == "+1 555-555-0123"
    masked = draw("{% human n %}", actor_of(bob), n=NUMBER)
    assert "•••••23" in masked
    assert "5550123" not in masked.replace("-", "")
    assert "555" not in draw("{% human n %}", n=NUMBER)


def test_exports_and_json_follow_the_same_rule(alice: User, bob: User) -> None:
    payload = {"from": NUMBER, "text": f"call {NUMBER}!", "at": ["2026-07-01T12:00:00+00:00"], NUMBER: 1}
    assert masked_within(actor_of(alice), payload) == payload
    assert masked_within(actor_of(bob), payload) == {
        "from": "•••••23",
        "text": "call •••••23!",
        "at": ["2026-07-01T12:00:00+00:00"],
        "•••••23": 1,
    }
    assert exported_number(actor_of(alice), NUMBER) == NUMBER
    assert exported_number(actor_of(bob), NUMBER) == shown_number(actor_of(bob), NUMBER) == "•••••23"


def test_json_is_escaped_and_marked(alice: User) -> None:
    shown = draw("{% json v %}", actor_of(alice), v={"a": '<b>"x"'})
    assert "<b>" not in shown
    assert '<span class="code-key">&quot;a&quot;</span>:' in shown


@pytest.mark.parametrize(("number", "words"), [(0, "0 messages"), (1, "1 message"), (1240, "1,240 messages")])
def test_a_number_stands_with_its_noun(number: int, words: str) -> None:
    assert draw("{% count n 'message' %}", n=number) == words


NUMBERS = re.compile(r"(?:\+|%2B)?1[ \-]?555[ \-]?555[ \-]?0123")


@pytest.fixture
def everywhere(conversation: Conversation) -> list[str]:
    """Pages that show the human, filled."""
    identity = conversation.identity
    make.make_message(conversation, "let me in")
    make.make_message(conversation, "blocked words", is_blocked=True)
    rule = make.make_rule(identity, make.HUMAN)
    return [
        "/console/threads/",
        f"/console/threads/{conversation.id}/",
        f"/console/threads/{conversation.id}/about/",
        f"/console/threads/{conversation.id}/raw/",
        f"/console/trace/{conversation.id}/",
        "/console/blocked/",
        "/console/blocked/?view=senders",
        "/console/search/?q=let+me",
        "/console/rules/",
        f"/console/rules/{rule.id}/",
        "/console/rehearsals/",
        f"/console/identities/{identity.handle}/",
        f"/console/identities/{identity.handle}/connections/",
        f"/console/identities/{identity.handle}/reach/",
        f"/console/identities/{identity.handle}/activity/",
        "/console/deliveries/",
        "/console/jobs/",
    ]


def test_a_viewer_reads_no_number_in_full_anywhere(as_alice: Client, as_bob: Client, everywhere: list[str]) -> None:
    seen = {path: as_alice.get(path, follow=True) for path in everywhere}
    assert {path for path, answer in seen.items() if answer.status_code != 200} == set()
    assert sum(bool(NUMBERS.search(_text(answer))) for answer in seen.values()) > 5
    told = {path: NUMBERS.findall(_text(as_bob.get(path, follow=True))) for path in everywhere}
    assert {path: found for path, found in told.items() if found} == {}


def _text(answer: Any) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(body.decode())


def test_no_template_writes_a_humans_number_past_the_mask() -> None:
    # A field's value is what the form sends back; only who may change the thing gets the form.
    written = re.compile(r"(?<!value=\")\{\{[^}]*\bhuman\b(?:\|pretty)?\s*\}\}|human\|pretty")
    templates = (Path(installed.BASE_DIR) / "templates/console").rglob("*.html")
    past = {str(file): written.findall(file.read_text()) for file in templates}
    assert {name for name, found in past.items() if found} == set()


# --- Times


def test_times_are_in_the_readers_zone() -> None:
    berlin = Preferences(zone="Europe/Berlin")
    assert "1 Jul 2026, 14:00:05 CEST" in draw("{% moment at %}", preferences=berlin, at=NOON)
    assert ">14:00<" in draw("{% clock at %}", preferences=berlin, at=NOON)
    assert 'title="Wednesday 1 Jul 2026, 14:00:05 CEST"' in draw("{% ago at %}", preferences=berlin, at=NOON)


def test_half_days_and_zones_without_a_name() -> None:
    karachi = Preferences(zone="Asia/Dhaka", clock="12")
    assert "6:00:05 pm UTC+06" in draw("{% moment at %}", preferences=karachi, at=NOON)


def test_who_prefers_exact_times_needs_no_pointer_for_them() -> None:
    exact = Preferences(zone="Europe/Berlin", exact_times=True)
    for tag in ("ago", "clock", "moment"):
        drawn = draw(f"{{% {tag} at %}}", preferences=exact, at=NOON)
        assert ">1 Jul 2026, 14:00:05 CEST<" in drawn
        assert "data-ago" not in drawn


def test_without_zone_files_times_are_utc() -> None:
    assert "12:00:05 UTC" in draw("{% moment at %}", preferences=Preferences(zone="Moon/Tycho"), at=NOON)


def test_steps_of_one_day_do_not_repeat_it() -> None:
    assert draw("{% clock at day %}", at=NOON, day=NOON).endswith(">12:00:05</time>")
    yesterday = datetime(2026, 6, 30, 12, tzinfo=UTC)
    assert draw("{% clock at day %}", at=NOON, day=yesterday).endswith(">1 Jul, 12:00:05</time>")


def test_utc_is_one_press_away_and_back(as_alice: Client, alice: User, conversation: Conversation) -> None:
    save_preferences(alice, zone="Europe/Berlin")
    address = f"/console/threads/{conversation.id}/"
    assert b'data-zone="Europe/Berlin"' in as_alice.get(address).content
    assert as_alice.post("/console/times/")["Location"] == "/console/threads/"
    assert b'data-zone="UTC"' in as_alice.get(address).content
    as_alice.post("/console/times/")
    assert b'data-zone="Europe/Berlin"' in as_alice.get(address).content


# --- Preferences


def test_choices_are_kept_without_script(as_alice: Client, alice: User) -> None:
    chosen = {"zone": "Asia/Tokyo", "clock": "12", "theme": "dark", "density": "compact", "exact_times": "on"}
    assert as_alice.post("/console/me/profile/", chosen).status_code == 302
    page = as_alice.get("/console/me/profile/").content.decode()
    for part in ('data-theme="dark"', 'data-density="compact"', 'data-shortcuts="off"', 'data-zone="Asia/Tokyo"'):
        assert part in page
    kept = Preferences.objects.get(user=alice)
    assert (kept.zone, kept.exact_times) == ("Asia/Tokyo", True)


def test_a_zone_nobody_has_is_refused_in_place(as_alice: Client) -> None:
    answer = as_alice.post("/console/me/profile/", {"zone": "Moon/Tycho", "clock": "24", "theme": "x", "density": "y"})
    assert answer.status_code == 422
    assert answer.content.count(b'aria-invalid="true"') == 3


def test_a_machine_without_zone_files_says_so(as_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.views.preferences.zone_names", lambda: ["UTC"])
    assert b"no time zone files" in as_alice.get("/console/me/profile/").content


# --- The rail


@pytest.fixture
def counter() -> Iterator[Any]:
    kept = dict(counters._counters)
    counters.forget_counts()
    yield counters.counter
    counters._counters.clear()
    counters._counters.update(kept)
    counters.forget_counts()


def test_the_rail_shows_places_that_exist_and_where_one_is(as_alice: Client) -> None:
    page = as_alice.get("/console/blocked/").content.decode()
    assert 'id="to-threads"' in page
    assert re.findall(r'id="to-([a-z]+)"[^>]* aria-current="page"', page) == ["blocked"]


def test_the_phone_is_an_operators_in_development(as_operator: Client, as_alice: Client, settings: Any) -> None:
    assert b'id="to-phones"' not in as_operator.get("/console/me/profile/").content
    settings.DEVELOPMENT, settings.SIMULATOR_URL = True, "http://127.0.0.1:1"
    assert b'id="to-phones"' in as_operator.get("/console/me/profile/").content
    assert b'id="to-phones"' not in as_alice.get("/console/me/profile/").content


def test_the_first_page_says_how_to_begin(as_alice: Client, as_bob: Client, router: Line) -> None:
    assert b"Make an identity" in as_alice.get("/console/threads/").content
    assert b"An admin of your organization" in as_bob.get("/console/threads/").content
    make.make_identity(Organization.objects.get(name="Acme"), "helper")
    assert b"connect @helper" in as_bob.get("/console/threads/").content


def test_a_counter_stops_counting_and_is_read_out(as_alice: Client, counter: Any) -> None:
    counter("blocked", "to review", urgent=True)(lambda actor: 100)
    rail = as_alice.get("/console/rail/?at=threads").content.decode()
    assert 'title="99+ to review"' in rail
    assert "is-urgent" in rail
    assert "<html" not in rail


def test_humans_who_wait_are_counted_beside_the_threads(as_alice: Client, conversation: Conversation) -> None:
    counters.forget_counts()
    conversation.waiting_since = conversation.last_at
    conversation.save()
    rail = as_alice.get("/console/rail/").content.decode()
    assert re.findall(r'id="to-threads".*?title="([^"]*)"', rail, re.DOTALL) == ["1 waiting"]


def test_tabs_of_an_organization_share_a_count_and_strangers_do_not(
    as_alice: Client, as_charlie: Client, counter: Any
) -> None:
    asked: list[Actor] = []
    counter("blocked", "to review")(lambda actor: asked.append(actor) or 1)
    for client in (as_alice, as_alice, as_charlie):
        client.get("/console/rail/")
    assert len(asked) == 2


def test_a_count_reads_no_more_rows_than_it_shows(conversation: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MOST", 2)
    for _ in range(5):
        make.make_message(conversation)
    assert counters.bounded(conversation.messages.all()) == 3


# --- Toasts and doors


def test_a_control_of_a_page_whose_session_ended_gets_a_toast(client: Client, db: None) -> None:
    answer = client.get("/console/threads/", headers={"HX-Request": "true", "HX-Source": "a#x"})
    assert answer.status_code == 401
    assert answer["HX-Reswap"] == "none"
    assert b"You were signed out" in answer.content


@pytest.mark.parametrize("path", ["/console/nowhere/", "/nowhere/"])
def test_what_does_not_exist_is_drawn(as_alice: Client, path: str) -> None:
    answer = as_alice.get(path)
    assert answer.status_code == 404
    assert b"There is nothing here" in answer.content


def test_a_fragment_that_does_not_exist_leaves_the_page_as_it_was(as_alice: Client) -> None:
    answer = as_alice.get("/console/nowhere/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Reswap"]) == (404, "none")


def test_a_stale_form_is_told_so(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    answer = client.post("/console/theme/", {"theme": "dark"})
    assert answer.status_code == 403
    assert b"The page was too old" in answer.content


def test_a_failure_is_drawn_without_a_trace(as_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    as_alice.raise_request_exception = False
    monkeypatch.setattr("console.views.preferences.zone_names", lambda: 1 / 0)
    answer = as_alice.get("/console/me/profile/")
    assert answer.status_code == 500
    assert b"That did not work" in answer.content
    assert b"Traceback" not in answer.content


# --- Charts


def test_bars_stand_in_proportion_and_something_is_never_nothing() -> None:
    tall, tiny, none = drawn([Bar("a", 1000, bad=500), Bar("b", 1), Bar("c", 0)])
    assert (tall.height, tall.bad_height, tiny.height, none.height) == (24, 12, 1, 0)


def test_a_line_of_nothing_is_flat() -> None:
    assert line_through([]) == line_through([3]) == "0,12.0 100,12.0"
    assert line_through([0, 0]) == "0.0,23.0 100.0,23.0"


def test_a_chart_says_what_it_shows_and_has_a_table() -> None:
    page = draw("{% bars bars 'Delivered per hour' 'Hour' %}", bars=[Bar("14:00", 3, bad=1), Bar("15:00", 1)])
    assert 'role="img" aria-label="Delivered per hour"' in page
    assert page.count("<tr>") == 3
    assert 'role="img" aria-label="Hits"' in draw("{% spark v 'Hits' %}", v=[1, 2, 3])


def test_bars_that_lead_somewhere_are_links_in_the_table_and_hidden_as_an_image() -> None:
    page = draw("{% bars bars 'Delivered per hour' %}", bars=[Bar("14:00", 3, url="/x")])
    assert 'aria-hidden="true"' in page
    assert '<a href="/x">14:00</a>' in page


def test_progress_is_told_to_those_who_do_not_see_it() -> None:
    page = draw("{% progress 3 12 %}")
    assert 'aria-valuetext="3 of 12"' in page
    assert 'width="25"' in page
