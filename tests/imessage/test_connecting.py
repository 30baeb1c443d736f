"""How humans come to agents and leave them again, by texts to the router."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import Decision
from events.models import Event
from imessage import connecting
from imessage.errors import ConnectionReleased, NoRouter
from imessage.models import Connection, Conversation, RouterMessage
from lines.models import Line, Route
from lines.routers import rotate_router
from tests import make
from tests.providers.scripted import ScriptedDriver, drain_router_now, text_in

pytestmark = pytest.mark.django_db


def say(router: Line, text: str, human: str = make.HUMAN) -> str:
    """The router's answer to a human's text."""
    text_in(router, text, human)
    return RouterMessage.objects.filter(human=human, direction="outbound").latest("created_at", "id").text


def outcome() -> str:
    return RouterMessage.objects.filter(direction="inbound").latest("created_at", "id").outcome


def test_connecting_opens_a_connection_on_a_pool_line(identity: Identity, line: Line, router: Line) -> None:
    answer = say(router, "connect @helper")
    connection = Connection.objects.get()
    assert (connection.identity, connection.human, connection.line, connection.status) == (
        identity,
        make.HUMAN,
        line,
        "active",
    )
    assert "connected to @helper" in answer
    assert "+1 555-555-0101" in answer
    assert Event.objects.filter(type="connection.created", subject_id=connection.id).count() == 1


def test_the_answer_is_sent_once_over_the_router(
    identity: Identity, line: Line, router: Line, driver: ScriptedDriver
) -> None:
    answer = say(router, "connect @helper")
    drain_router_now(router)
    drain_router_now(router)
    assert driver.texts == [answer]
    assert driver.sent[0].line == router.address
    assert driver.in_transaction == [True]  # the test's own; the drain opens none around a call


def test_unknown_disabled_paused_blocked_and_whitelisted_out_hear_the_same_bytes(
    identity: Identity, line: Line, router: Line
) -> None:
    unknown = say(router, "connect @nobody").replace("nobody", "helper")
    identity.imessage_enabled = False
    identity.save()
    answers = [say(router, "connect @helper")]
    identity.imessage_enabled, identity.status = True, "paused"
    identity.save()
    answers.append(say(router, "connect @helper"))
    identity.status = "active"
    identity.save()
    rule = make.make_rule(identity)
    answers.append(say(router, "connect @helper"))
    rule.delete()
    identity.imessage_filter_mode = "whitelist"
    identity.save()
    answers.append(say(router, "connect @helper"))
    assert {answer.encode() for answer in answers} == {unknown.encode()}
    assert not Connection.objects.exists()
    assert list(Decision.objects.values_list("subject", "allowed")) == [("connect", False)] * 2


def test_a_human_who_was_blocked_meanwhile_hears_of_no_connection(identity: Identity, line: Line, router: Line) -> None:
    unknown = say(router, "connect @nobody").replace("nobody", "helper")
    say(router, "connect @helper")
    make.make_rule(identity)
    assert say(router, "connect @helper") == unknown
    assert outcome() == "blocked"


def test_connecting_again_changes_nothing(identity: Identity, line: Line, router: Line) -> None:
    say(router, "connect @helper")
    assert say(router, "connect @helper").startswith("You are already connected")
    assert Connection.objects.count() == Route.objects.count() == 1


def test_two_agents_get_two_lines(identity: Identity, charlies_identity: Identity, line: Line, router: Line) -> None:
    make.make_line(account=router.account)
    say(router, "connect @helper")
    say(router, "connect @stranger")
    assert len(set(Connection.objects.values_list("line_id", flat=True))) == 2


def test_without_a_free_line_the_human_is_told(
    identity: Identity, charlies_identity: Identity, line: Line, router: Line
) -> None:
    say(router, "connect @helper")
    assert say(router, "connect @stranger").startswith("No line is free")
    assert outcome() == "no_free_line"
    assert "You are connected" in say(router, "connect @stranger", make.OTHER_HUMAN)


@pytest.mark.parametrize(
    ("fields", "came_to"),
    [({"seen": seen}, "waits_for_line") for seen in ["down", "unknown", "degraded", "flagged"]]
    + [({"wanted": wanted}, "no_free_line") for wanted in ["draining", "paused", "retired", "provisioning"]],
)
def test_only_healthy_lines_in_service_are_given(
    fields: dict[str, str], came_to: str, identity: Identity, router: Line
) -> None:
    make.make_line(account=router.account, **fields)
    say(router, "connect @helper")
    assert outcome() == came_to
    assert not Connection.objects.exists()


def test_the_line_with_the_fewest_humans_is_given(identity: Identity, line: Line, router: Line) -> None:
    idle = make.make_line(account=router.account)
    make.make_connection(human=make.OTHER_HUMAN, line=line)
    say(router, "connect @helper")
    assert Connection.objects.latest("created_at").line == idle


def test_disconnecting_releases_and_keeps_the_line_reserved(identity: Identity, line: Line, router: Line) -> None:
    say(router, "connect @helper")
    assert say(router, "disconnect @helper") == "You are disconnected from @helper."
    connection = Connection.objects.get()
    assert (connection.status, connection.released_by) == ("released", "human")
    held = Route.objects.get().held_until
    assert held
    assert timedelta(days=29) < held - timezone.now() < timedelta(days=31)
    assert Event.objects.filter(type="connection.released").count() == 1


def test_a_bare_disconnect_ends_the_only_connection(identity: Identity, line: Line, router: Line) -> None:
    say(router, "connect @helper")
    say(router, "disconnect")
    assert Connection.objects.get().status == "released"


def test_a_bare_disconnect_with_several_asks_which(
    identity: Identity, charlies_identity: Identity, line: Line, router: Line
) -> None:
    make.make_line(account=router.account)
    say(router, "connect @helper")
    say(router, "connect @stranger")
    answer = say(router, "disconnect")
    assert answer.startswith("Which one?")
    assert "@helper, @stranger" in answer
    assert Connection.objects.filter(status="active").count() == 2


@pytest.mark.parametrize("text", ["disconnect", "disconnect @helper", "disconnect @nobody"])
def test_disconnecting_without_a_connection_changes_nothing(text: str, identity: Identity, router: Line) -> None:
    say(router, text)
    assert outcome() == "not_connected"


def test_reconnecting_brings_back_the_line_and_the_conversation(
    identity: Identity, charlies_identity: Identity, line: Line, router: Line
) -> None:
    say(router, "connect @helper")
    text_in(line, "hello")
    conversation = Conversation.objects.get()
    say(router, "disconnect")
    make.make_line(account=router.account)
    say(router, "connect @stranger")
    say(router, "connect @helper")
    connection = Connection.objects.get(identity=identity, status="active")
    conversation.refresh_from_db()
    assert connection.line == line
    assert conversation.connection == connection
    text_in(line, "back")
    assert Conversation.objects.get(identity=identity).visible_total == 2


def test_reconnecting_comes_back_to_the_line_of_the_last_time(identity: Identity, line: Line, router: Line) -> None:
    say(router, "connect @helper")
    say(router, "disconnect")
    Line.objects.filter(pk=line.pk).update(wanted="retired")
    second = make.make_line(account=router.account)
    say(router, "connect @helper")
    say(router, "disconnect")
    make.make_line(account=router.account)
    say(router, "connect @helper")
    assert Connection.objects.get(status="active").line == second


def test_a_reservation_is_taken_over_only_after_its_end(
    identity: Identity, charlies_identity: Identity, line: Line, router: Line
) -> None:
    say(router, "connect @helper")
    say(router, "disconnect")
    Route.objects.update(held_until=timezone.now() + timedelta(minutes=1))
    say(router, "connect @stranger")
    assert outcome() == "no_free_line"
    Route.objects.update(held_until=timezone.now() - timedelta(seconds=1))
    say(router, "connect @stranger")
    assert Route.objects.get().identity == charlies_identity
    say(router, "connect @helper")
    assert outcome() == "no_free_line"


def test_an_admin_releases_once(conversation: Conversation, identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    connecting.release(admin, conversation.connection)
    with pytest.raises(ConnectionReleased):
        connecting.release(admin, conversation.connection)
    assert Event.objects.filter(type="connection.released").count() == 1


def test_help_lists_the_human_s_agents(identity: Identity, line: Line, router: Line) -> None:
    say(router, "connect @helper")
    answer = say(router, "help")
    assert "@helper" in answer
    assert "connect @handle" in answer


def test_a_strange_text_is_answered_and_kept(router: Line) -> None:
    assert say(router, "what\x00 is this").startswith("I did not understand that.")
    assert RouterMessage.objects.get(direction="inbound").text == "what is this"


def test_the_advertised_router_is_the_healthy_one(router: Line) -> None:
    second = make.make_router("+15555550110")
    assert connecting.router_line() == router
    Line.objects.filter(pk=router.pk).update(seen="down")
    assert connecting.router_line() == second
    Line.objects.update(wanted="retired")
    with pytest.raises(NoRouter):
        connecting.router_line()


def test_a_former_router_understands_everything_and_names_the_new_number(
    identity: Identity, line: Line, router: Line
) -> None:
    standby = make.make_router("+15555550110", account=router.account)
    rotate_router(make.operator(), to=standby, though_unproved=True)
    answer = say(router, "connect @helper")
    assert "connected to @helper" in answer
    assert answer.endswith("My number has changed: from now on please text +1 555-555-0110.")
    assert "My number has changed" not in say(standby, "help")
    Line.objects.filter(pk=router.pk).update(replaced_at=timezone.now() - timedelta(days=31))
    assert "My number has changed" not in say(router, "help")


def test_a_connect_waits_for_a_line_that_is_only_unwell(identity: Identity, line: Line, router: Line) -> None:
    Line.objects.filter(pk=line.pk).update(seen="down")
    assert say(router, "connect @helper").startswith("One moment")
    heard = RouterMessage.objects.get(direction="inbound")
    connecting.try_again(heard.id)
    assert not Connection.objects.exists()
    Line.objects.filter(pk=line.pk).update(seen="healthy")
    connecting.try_again(heard.id)
    connecting.try_again(heard.id)
    assert Connection.objects.get().line == line
    told = RouterMessage.objects.filter(direction="outbound").order_by("created_at")
    assert [message.text.split(":")[0].split(" to ")[0] for message in told] == ["One moment", "You are connected"]


def test_a_connect_that_waited_in_vain_is_apologised_for_once(identity: Identity, line: Line, router: Line) -> None:
    Line.objects.filter(pk=line.pk).update(seen="down")
    say(router, "connect @helper")
    heard = RouterMessage.objects.get(direction="inbound")
    RouterMessage.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    connecting.try_again(heard.id)
    connecting.try_again(heard.id)
    assert RouterMessage.objects.filter(direction="outbound").latest("created_at").text.startswith("I am sorry")
    assert outcome() == "no_free_line"
    assert RouterMessage.objects.filter(direction="outbound").count() == 2


@pytest.mark.parametrize("newer", ["disconnect @helper", "connect @helper", "disconnect"])
def test_a_newer_word_takes_the_place_of_a_connect_that_waits(
    newer: str, identity: Identity, line: Line, router: Line
) -> None:
    Line.objects.filter(pk=line.pk).update(seen="down")
    say(router, "connect @helper")
    say(router, newer)
    first = RouterMessage.objects.filter(direction="inbound").earliest("created_at")
    assert first.outcome == "superseded"


def test_only_the_human_s_own_word_gives_up_a_reservation(
    identity: Identity, charlies_identity: Identity, line: Line, router: Line
) -> None:
    say(router, "connect @helper")
    say(router, "disconnect @helper")
    assert "replace @stranger" in say(router, "connect @stranger")
    assert "You are connected" in say(router, "replace @stranger")
    assert Connection.objects.get(status="active").identity == charlies_identity
    assert Route.objects.get().identity == charlies_identity
    assert "No line is free" in say(router, "replace @helper")


def test_the_answer_holds_a_link_that_opens_the_new_thread(identity: Identity, line: Line, router: Line) -> None:
    assert f"sms:{line.address}?&body=Hello" in say(router, "connect @helper")
