"""Four grades of friction: what is asked before a deed, and what is refused in place."""

from typing import Any

import pytest
from allauth.core.context import request_context
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone
from django_htmx.middleware import HtmxDetails

from accounts.members import actor_of
from accounts.models import User
from console.friction import HOLD, Confirmation, Confirmed, Fact, confirm
from console.preferences import preferences_of
from tests import make

HTMX = {"HTTP_HX_REQUEST": "true"}
ADDRESS = "/console/blocked/release/?sender=1"
RELEASE = Confirmation(
    title="Release 41 messages",
    sentence="They reach @helper in their order.",
    action="Release",
    back="/console/blocked/",
    facts=[Fact("Messages", 41)],
    sample=[f"text {number}" for number in range(8)],
    of=41,
    fields={"id": ["a", "b"]},
)
FLIP = Confirmation(
    title="Whitelist for @helper",
    sentence="Only allowed numbers will reach it.",
    action="Switch to whitelist",
    back="/console/rules/",
    grade=4,
    typed="@helper",
    rehearsal_url="/console/rehearsals/1/",
)
MEANT = {"confirmed": "1", "typed": "helper", "reason": "spam", "password": make.PASSWORD}


@pytest.fixture
def ask(alice: User) -> Any:
    """Asks Alice: with `data` as a POST of hers, else as a GET."""
    session: dict[str, Any] = {}

    def asked(confirmation: Confirmation, data: dict[str, str] | None = None, **extra: Any) -> Any:
        factory = RequestFactory()
        request: Any = factory.get(ADDRESS, **extra) if data is None else factory.post(ADDRESS, data, **extra)
        SessionMiddleware(lambda _: HttpResponse()).process_request(request)
        request.session.update(session)
        request.user, request.htmx, request._messages = alice, HtmxDetails(request), []
        request.actor = actor_of(alice)
        request.preferences = preferences_of(alice)
        with request_context(request):
            answer = confirm(request, request.actor, confirmation)
        session.update(request.session.items())
        return answer

    return asked


def test_a_question_shows_what_will_happen_and_to_how_many(ask: Any) -> None:
    page = ask(RELEASE).content.decode()
    for words in ("Release 41 messages", "They reach @helper", "text 4", "and 36 more", "Begins after 10 seconds"):
        assert words in page
    assert "text 5" not in page
    assert page.count('name="id"') == 2
    assert "<html" in page


def test_htmx_gets_the_inside_of_the_dialog(ask: Any) -> None:
    page = ask(RELEASE, **HTMX).content.decode()
    assert "<html" not in page
    assert 'id="dialog-title"' in page
    assert f'hx-post="{ADDRESS}"' in page


def test_a_post_that_says_nothing_of_it_is_asked_too(ask: Any) -> None:
    assert ask(RELEASE, {"id": "a"}).status_code == 200


def test_grade_three_is_meant_by_one_press_and_waits(ask: Any) -> None:
    answer = ask(RELEASE, {"confirmed": "1", "id": "a"})
    assert isinstance(answer, Confirmed)
    assert answer.data["id"] == "a"
    assert timezone.now() < answer.starts_at <= timezone.now() + HOLD


def test_grade_four_shows_the_rehearsal_and_asks_for_everything(ask: Any) -> None:
    page = ask(FLIP).content.decode()
    for part in ("/console/rehearsals/1/", 'name="typed"', 'name="reason"', 'name="password"'):
        assert part in page


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"typed": "helpers"}, "Type @helper exactly"),
        ({"typed": ""}, "Type @helper exactly"),
        ({"reason": "  "}, "Say why"),
        ({"reason": "x" * 501}, "within 500"),
        ({"password": "not this"}, "not the one of your account"),
        ({"password": ""}, "not the one of your account"),
    ],
)
def test_what_is_wrong_is_said_in_place(ask: Any, wrong: dict[str, str], words: str) -> None:
    answer = ask(FLIP, MEANT | wrong)
    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_a_wrong_answer_keeps_what_was_typed(ask: Any) -> None:
    page = ask(FLIP, MEANT | {"typed": "wrong"}).content.decode()
    assert 'value="spam"' in page
    assert make.PASSWORD not in page


def test_who_signed_in_just_now_is_not_asked_again(ask: Any) -> None:
    assert isinstance(ask(FLIP, MEANT), Confirmed)
    assert b'name="password"' not in ask(FLIP).content
    assert ask(FLIP, MEANT | {"password": ""}).reason == "spam"


def test_a_password_cannot_be_guessed_for_long(ask: Any) -> None:
    for _ in range(10):
        ask(FLIP, MEANT | {"password": "guess"})
    assert b"Too many tries" in ask(FLIP, MEANT).content


def test_nobody_is_asked_for_a_reason_that_nobody_needs(ask: Any) -> None:
    assert b'name="reason"' not in ask(RELEASE).content


def test_only_what_reaches_outward_waits(ask: Any) -> None:
    answer = ask(FLIP, MEANT)
    assert answer.starts_at <= timezone.now()
    assert b"you can cancel until then" not in ask(FLIP).content
