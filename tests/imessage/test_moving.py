"""Connections that go to another line: as fast as allowances permit, with an opener, and nobody's text lost."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.errors import Conflict, Forbidden
from events.models import Event
from imessage import moving
from imessage.connecting import release
from imessage.models import Connection, Conversation, Message, RouterMessage
from imessage.sending import send_message
from lines.models import Dispatch, Line, Move, ProviderAccount, Route
from lines.moving import (
    MoveUnderWay,
    NotAsConfirmed,
    NothingToMove,
    cancel_move,
    forecast_move,
    move_stranded,
    resume_move,
    start_move,
)
from lines.providers.base import ErrorClass
from tests import make
from tests.providers.scripted import ScriptedDriver, refused, run_jobs, text_in, waiting_jobs

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(account: ProviderAccount) -> Line:
    """Where they go."""
    return make.make_line("+15555550102", account=account)


def slowly(line: Line) -> None:
    """The usual allowance of new contacts; the scripted provider has none."""
    line.limits = {"new_per_hour": 15, "new_per_day": 50, "new_gap": 120}
    line.save()


def moved(line: Line) -> Move:
    """A move of everybody, as far as it goes at once."""
    move = start_move(make.operator(), line, reason="flagged")
    run_jobs()
    move.refresh_from_db()
    return move


def fill(line: Line, count: int, identity: Identity | None = None) -> list[Connection]:
    identity = identity or make.make_identity()
    now = timezone.now()
    connections = [make.make_connection(identity, f"+1555556{n:04}", line=line) for n in range(count)]
    for n, connection in enumerate(connections):
        Route.objects.filter(line=line, human=connection.human).update(last_traffic_at=now - timedelta(minutes=n))
    return connections


def test_the_answer_leaves_from_the_new_line_after_an_opener(
    written: Conversation, line: Line, other: Line, driver: ScriptedDriver
) -> None:
    assert moved(line).state == "done"
    send_message(make.agent_of(written.identity), conversation=written, text="still here")
    run_jobs()
    assert [(order.line, order.text) for order in driver.sent] == [
        (other.address, "This is @helper. From now on I write to you from this number; please answer here."),
        (other.address, "still here"),
    ]
    assert Event.objects.filter(type="connection.moved", conversation_id=written.id).count() == 1


def test_what_was_queued_on_the_old_line_waits_for_the_opener(
    written: Conversation, line: Line, other: Line, driver: ScriptedDriver
) -> None:
    Line.objects.filter(pk=line.pk).update(seen="flagged")
    message = send_message(make.agent_of(written.identity), conversation=written, text="queued")
    run_jobs()
    assert driver.sent == []
    moved(line)
    assert [order.line for order in driver.sent] == [other.address] * 2
    assert driver.texts[1] == "queued"
    message.refresh_from_db()
    assert (message.line, message.status) == (other, "sent")


def test_a_text_that_may_be_out_is_settled_where_it_was_sent(
    written: Conversation, line: Line, other: Line, driver: ScriptedDriver
) -> None:
    message = send_message(make.agent_of(written.identity), conversation=written, text="lost")
    Dispatch.objects.create(
        kind="message", order_id=message.id, attempt=1, line=line, human=message.human, outcome="unknown"
    )
    moved(line)
    assert Message.objects.get(pk=message.pk).line == line


def test_what_the_human_still_writes_to_the_old_number_reaches_the_agent(
    written: Conversation, line: Line, other: Line, driver: ScriptedDriver
) -> None:
    moved(line)
    for where in (line, other):
        assert text_in(where, f"to {where}").state == "applied"
    assert list(Message.objects.filter(direction="inbound").order_by("position").values_list("line", flat=True)) == [
        line.id,
        line.id,
        other.id,
    ]
    alias = Route.objects.get(line=line)
    assert alias.held_until
    assert timedelta(days=29) < alias.held_until - timezone.now() < timedelta(days=31)
    Route.objects.filter(pk=alias.pk).update(held_until=timezone.now() - timedelta(seconds=1))
    assert text_in(line, "too late").state == "unrouted"


def test_a_release_ends_the_old_number_too_and_a_reconnect_takes_the_new_one(
    written: Conversation, line: Line, other: Line, router: Line, driver: ScriptedDriver
) -> None:
    moved(line)
    release(make.operator(), Connection.objects.get())
    assert text_in(line, "hello?").state == text_in(other, "hello?").state == "unrouted"
    text_in(router, "connect @helper")
    assert Connection.objects.get(status="active").line == other


def test_the_newest_activity_goes_first_and_the_allowance_sets_the_pace(line: Line, other: Line) -> None:
    slowly(other)
    fill(line, 14)
    begin = timezone.now()
    forecast = forecast_move(line, now=begin)
    assert (forecast.humans, forecast.placed, forecast.is_enough, forecast.days) == (14, 14, True, 1)
    move = start_move(make.operator(), line, confirmed=14)
    times, now = [], begin
    while (move := Move.objects.get()).state == "going":
        before = move.moved
        moving.go_on(move.id, now=now)
        move.refresh_from_db()
        times += [now] * (move.moved - before)
        now = move.next_at or now
    assert list(move.items.order_by("at", "rank").values_list("human", flat=True)) == [
        f"+1555556{n:04}" for n in range(14)
    ]
    # Two minutes apart, twelve in any hour: the thirteenth waits for the first to be an hour old.
    assert [round((at - begin) / timedelta(minutes=1)) for at in times] == [*range(0, 24, 2), 60, 62]
    assert abs((times[-1] - begin) - forecast.lasts) < timedelta(seconds=1)


def test_a_move_that_finds_too_many_failures_stops_until_an_operator_resumes_it(
    line: Line, other: Line, account: ProviderAccount, driver: ScriptedDriver
) -> None:
    for new in [other, *(make.make_line(account=account) for _ in range(3))]:
        slowly(new)
    fill(line, 6)
    driver.answers = [refused(ErrorClass.PERMANENT, "blocked")] * 4
    move = moved(line)
    later = timezone.now() + timedelta(minutes=3)
    moving.go_on(move.id, now=later)
    move.refresh_from_db()
    assert (move.state, move.moved) == ("stopped", 4)
    assert move.problem == "4 of the last 4 first texts from new numbers failed."
    resume_move(make.operator(), move)
    moving.go_on(move.id, now=later)
    assert Move.objects.get().state == "done"


def test_a_human_with_agents_on_every_other_line_stays(line: Line, other: Line, written: Conversation) -> None:
    make.make_connection(human=make.HUMAN, line=other)
    assert forecast_move(line).unplaced == 1
    with pytest.raises(NothingToMove):
        start_move(make.operator(), line)
    fill(line, 1)
    move = moved(line)
    assert (move.state, move.moved, move.unplaced) == ("done", 1, 1)
    assert written.connection.line == line


def test_cancelling_leaves_those_moved_where_they_are(line: Line, other: Line, driver: ScriptedDriver) -> None:
    slowly(other)
    fill(line, 3)
    move = moved(line)
    assert (move.state, move.moved, move.left) == ("going", 1, 2)
    assert [job["at"] is not None for job in waiting_jobs("imessage.move")] == [True]
    cancel_move(make.operator(), move)
    moving.go_on(move.id, now=timezone.now() + timedelta(days=1))
    assert Connection.objects.filter(line=other).count() == 1
    with pytest.raises(Conflict):
        cancel_move(make.operator(), move)


def test_who_disconnected_meanwhile_is_passed_over(line: Line, other: Line, driver: ScriptedDriver) -> None:
    first, second = fill(line, 2)
    move = start_move(make.operator(), line)
    release(make.operator(), first)
    run_jobs()
    move.refresh_from_db()
    assert (move.state, move.moved, move.skipped) == ("done", 1, 1)
    assert RouterMessage.objects.get().human == second.human


def test_only_operators_move_and_only_what_they_have_seen(line: Line, other: Line, identity: Identity) -> None:
    fill(line, 2)
    with pytest.raises(Forbidden):
        start_move(make.admin_of(identity.organization), line)
    with pytest.raises(NotAsConfirmed):
        start_move(make.operator(), line, confirmed=3)
    start_move(make.operator(), line, confirmed=2)
    with pytest.raises(MoveUnderWay):
        start_move(make.operator(), line)


@pytest.mark.parametrize(
    ("fields", "moves"),
    [
        ({"seen": "down"}, False),
        ({"seen": "flagged", "seen_since": timezone.now()}, False),
        ({"seen": "flagged", "seen_since": timezone.now() - timedelta(hours=25)}, True),
        ({"wanted": "retired"}, True),
    ],
)
def test_the_rule_moves_humans_only_off_lines_that_are_lost(
    fields: dict[str, object], moves: bool, line: Line, other: Line
) -> None:
    fill(line, 1)
    Line.objects.filter(pk=line.pk).update(**fields)
    assert bool(move_stranded()) == moves
    assert move_stranded() == []
