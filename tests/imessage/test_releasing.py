"""Blocked texts let through after all: held, undone or shown in order, once, and told with their own time."""

import contextlib
import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.identities import update_identity
from accounts.models import Identity
from contactrules import rules
from contactrules.models import ContactRule, Decision
from core.actor import Actor, Role
from core.errors import Forbidden
from events.models import Event
from imessage import connecting, releasing
from imessage.errors import NotBlocked, NotEnabled, RecipientBlocked, ReleaseSettled, ReleaseUnderWay
from imessage.models import Connection, Conversation, MediaFile, Message, Release
from imessage.releasing import release, settle, undo_release
from imessage.sending import send_message
from lines.models import Line
from tests import make
from tests.imessage.test_counters import kept, recounted
from tests.imessage.test_races import stored
from tests.providers.scripted import run_jobs, text_event, text_in, waiting_jobs
from tests.racing import at_once, failures

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(identity: Identity) -> Actor:
    return make.admin_of(identity.organization)


@pytest.fixture
def blocked(conversation: Conversation, identity: Identity, admin: Actor, line: Line) -> Conversation:
    """The human's thread: one text that was let through, then three that a rule blocked."""
    text_in(line, "hello")
    rules.create_rule(admin, identity, action="block", match_target=make.HUMAN)
    for text in ("one", "two", "three"):
        text_in(line, text)
    conversation.refresh_from_db()
    return conversation


def message(text: str) -> Message:
    return Message.objects.get(text=text)


def hold_over() -> None:
    """As if the hold of everything that was requested had passed."""
    Release.objects.open().update(due_at=timezone.now())


def told(conversation: Conversation, *, after: int = 0) -> list[str]:
    """The texts of what webhooks will tell, in the order of the events."""
    events = Event.objects.filter(conversation_id=conversation.id, type="message.received", number__gt=after)
    return [event.data["message"]["text"] for event in events.order_by("number")]


def seen_by_agent(identity: Identity) -> list[str]:
    return list(Message.objects.visible_to(make.agent_of(identity)).order_by("position").values_list("text", flat=True))


def test_nothing_happens_before_the_hold_is_over(blocked: Conversation, identity: Identity, admin: Actor) -> None:
    held = release(admin, message("two"))
    assert timedelta(seconds=9) < held.due_at - held.created_at <= timedelta(seconds=10)
    assert settle(blocked.id) == 0
    assert seen_by_agent(identity) == ["hello"]
    [job] = waiting_jobs("imessage.release")
    assert job["at"] == held.due_at


def test_one_message_becomes_visible_with_its_place_and_time(
    blocked: Conversation, identity: Identity, admin: Actor
) -> None:
    before = message("two")
    release(admin, before)
    hold_over()
    assert settle(blocked.id) == 1
    after = message("two")
    assert seen_by_agent(identity) == ["hello", "two"]
    assert (after.position, after.created_at) == (before.position, before.created_at)
    assert after.released_at
    assert after.release.requested_by["label"] == "tests"
    assert kept(blocked) == recounted(blocked)


def test_the_human_waits_since_the_released_text(conversation: Conversation, admin: Actor) -> None:
    make.make_message(conversation, "answer", direction="outbound")
    held = make.make_message(conversation, "one", is_blocked=True)
    make.make_message(conversation, "two")
    release(admin, held)
    hold_over()
    settle(conversation.id)
    conversation.refresh_from_db()
    assert conversation.waiting_since == held.created_at


def test_the_verdict_of_then_stays(blocked: Conversation, admin: Actor) -> None:
    before = message("two")
    release(admin, before)
    hold_over()
    settle(blocked.id)
    after = message("two")
    verdict = [(row.rule_id, row.rule_revision, row.filter_mode) for row in (before, after)]
    assert verdict[0] == verdict[1]
    assert Decision.objects.get(message_id=before.id).allowed is False
    assert Event.objects.filter(type="message.blocked", subject_id=str(before.id)).count() == 1


def test_all_of_a_sender_are_told_in_order_with_the_original_times(  # acceptance 9
    blocked: Conversation, identity: Identity, admin: Actor
) -> None:
    newest = Event.objects.latest("number").number
    release(admin, message("three"), all_of_sender=True)
    hold_over()
    assert settle(blocked.id) == 3
    assert told(blocked, after=newest) == ["one", "two", "three"]
    assert seen_by_agent(identity) == ["hello", "one", "two", "three"]
    for event in Event.objects.filter(type="message.received", number__gt=newest):
        shown = event.data["message"]
        assert event.data["released"]["received_at"] == shown["created_at"]
        assert event.data["released"]["released_at"] > shown["created_at"]
        assert shown["is_blocked"] is False
    jobs = waiting_jobs("webhooks.fanout")[-3:]
    assert {job["lock"] for job in jobs} == {f"fanout:{blocked.id}"}


def test_undone_within_the_hold_sends_nothing(  # acceptance 9
    blocked: Conversation, identity: Identity, admin: Actor
) -> None:
    newest = Event.objects.latest("number").number
    before = kept(blocked)
    held = release(admin, message("one"), all_of_sender=True)
    assert undo_release(admin, held).state == "undone"
    hold_over()
    assert settle(blocked.id) == 0
    assert (told(blocked, after=newest), kept(blocked)) == ([], before)
    assert ContactRule.objects.get().status == "active"
    assert undo_release(admin, held).state == "undone"


def test_it_is_too_late_to_undo_what_has_gone_out(blocked: Conversation, admin: Actor) -> None:
    held = release(admin, message("one"))
    hold_over()
    settle(blocked.id)
    with pytest.raises(ReleaseSettled):
        undo_release(admin, held)
    assert message("one").is_blocked is False


def test_releases_of_one_thread_leave_together_in_the_order_of_the_texts(blocked: Conversation, admin: Actor) -> None:
    newest = Event.objects.latest("number").number
    release(admin, message("three"))
    Release.objects.update(due_at=timezone.now())
    release(admin, message("one"))
    assert settle(blocked.id) == 0  # the first is due, the second is not
    hold_over()
    assert settle(blocked.id) == 2
    assert told(blocked, after=newest) == ["one", "three"]


def test_more_than_a_batch_goes_on_in_order_and_allows_with_the_last(
    blocked: Conversation, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "BATCH", 2)
    newest = Event.objects.latest("number").number
    held = release(admin, message("one"), all_of_sender=True)
    hold_over()
    assert settle(blocked.id) == 2
    held.refresh_from_db()
    assert (held.state, held.count, ContactRule.objects.count()) == ("going", 2, 1)
    with pytest.raises(ReleaseSettled):
        undo_release(admin, held)
    assert settle(blocked.id) == 1
    held.refresh_from_db()
    assert (held.state, held.count, ContactRule.objects.count()) == ("done", 3, 0)
    assert told(blocked, after=newest) == ["one", "two", "three"]
    assert kept(blocked) == recounted(blocked)


# --- The rules


@pytest.mark.parametrize("mode", ["blacklist", "whitelist"])
def test_allowing_makes_the_number_reachable_whatever_the_mode(
    blocked: Conversation, identity: Identity, admin: Actor, line: Line, mode: str
) -> None:
    rules.set_filter_mode(admin, identity, mode=mode)
    release(admin, message("one"))
    hold_over()
    settle(blocked.id)
    text_in(line, "four")
    assert seen_by_agent(identity) == ["hello", "one", "four"]
    send_message(make.agent_of(identity), conversation=blocked, text="welcome")


def test_without_a_rule_the_answer_is_refused(blocked: Conversation, identity: Identity, admin: Actor) -> None:
    release(admin, message("one"), allow=False)
    hold_over()
    settle(blocked.id)
    assert seen_by_agent(identity) == ["hello", "one"]
    with pytest.raises(RecipientBlocked):
        send_message(make.agent_of(identity), conversation=blocked, text="welcome")


@pytest.mark.parametrize(
    ("allow", "shown"), [(True, ["one", "two", "three", "four"]), (False, ["one", "two", "three"])]
)
def test_what_comes_in_during_the_hold_goes_along_only_if_the_number_is_allowed(
    blocked: Conversation, admin: Actor, line: Line, allow: bool, shown: list[str]
) -> None:
    newest = Event.objects.latest("number").number
    release(admin, message("one"), all_of_sender=True, allow=allow)
    text_in(line, "four")
    hold_over()
    settle(blocked.id)
    assert told(blocked, after=newest) == shown


# --- Refusals


def test_a_viewer_and_an_agent_may_not(blocked: Conversation, identity: Identity, admin: Actor) -> None:
    held = release(admin, message("two"))
    for actor in (make.admin_of(identity.organization, role=Role.VIEWER), make.agent_of(identity)):
        with pytest.raises(Forbidden):
            release(actor, message("one"))
        with pytest.raises(Forbidden):
            undo_release(actor, held)


def test_what_is_not_blocked_cannot_be_released(blocked: Conversation, admin: Actor) -> None:
    with pytest.raises(NotBlocked):
        release(admin, message("hello"))


def test_asking_again_gives_the_open_release(blocked: Conversation, admin: Actor) -> None:
    held = release(admin, message("one"))
    assert release(admin, message("one")) == held
    whole = release(admin, message("one"), all_of_sender=True)
    assert whole != held
    assert release(admin, message("two")) == whole
    with pytest.raises(ReleaseUnderWay):
        release(admin, message("two"), allow=False)


def test_of_a_switched_off_identity_nothing_is_released(
    blocked: Conversation, identity: Identity, admin: Actor
) -> None:
    held = release(admin, message("one"))
    update_identity(admin, identity, changes={"imessage_enabled": False})
    with pytest.raises(NotEnabled):
        release(admin, message("two"))
    hold_over()
    assert settle(blocked.id) == 0
    held.refresh_from_db()
    assert (held.state, held.count, message("one").is_blocked) == ("refused", 0, True)
    assert ContactRule.objects.count() == 1


def test_after_a_disconnect_the_agent_is_told_and_the_human_stays_disconnected(
    blocked: Conversation, identity: Identity, admin: Actor
) -> None:
    connecting.release(admin, blocked.connection)
    newest = Event.objects.latest("number").number
    release(admin, message("one"), all_of_sender=True)
    hold_over()
    settle(blocked.id)
    assert told(blocked, after=newest) == ["one", "two", "three"]
    assert not Connection.objects.filter(status="active").exists()


# --- Silence


def test_the_human_is_told_nothing_and_nothing_leaves(blocked: Conversation, admin: Actor, driver: Any) -> None:
    release(admin, message("one"), all_of_sender=True)
    hold_over()
    run_jobs()
    settle(blocked.id)
    assert (driver.sent, driver.direct) == ([], [])


def test_an_agent_sees_neither_releases_nor_their_events(
    blocked: Conversation, identity: Identity, admin: Actor
) -> None:
    release(admin, message("one"))
    agent = make.agent_of(identity)
    assert not Release.objects.visible_to(agent).exists()
    assert Event.objects.filter(type__startswith="release.").exists()
    assert not Event.objects.visible_to(agent).filter(type__startswith="release.").exists()


def test_a_stranger_sees_no_release(blocked: Conversation, charlies_identity: Identity, admin: Actor) -> None:
    release(admin, message("one"))
    assert not Release.objects.visible_to(make.admin_of(charlies_identity.organization)).exists()


def test_what_came_with_a_released_text_can_be_fetched(blocked: Conversation, identity: Identity, admin: Actor) -> None:
    file = make.make_file(identity.organization, identity)
    make.make_media(message("one"), media=file)
    agent = make.agent_of(identity)
    assert not MediaFile.objects.visible_to(agent).exists()
    release(admin, message("one"))
    hold_over()
    settle(blocked.id)
    assert MediaFile.objects.visible_to(agent).exists()


# --- Everything at once


@pytest.mark.usefixtures("racing")
def test_parallel_requests_and_jobs_tell_each_text_once(blocked: Conversation, admin: Actor) -> None:
    newest = Event.objects.latest("number").number
    texts = [message(text) for text in ("one", "two", "three")]
    asked = [lambda text=text: release(admin, text, allow=False) for text in texts] * 3
    assert not failures(at_once(asked))
    hold_over()
    assert not failures(at_once([lambda: settle(blocked.id)] * 6))
    assert told(blocked, after=newest) == ["one", "two", "three"]
    assert kept(blocked) == recounted(blocked)


@pytest.mark.usefixtures("racing")
@pytest.mark.parametrize("attempt", range(3))
def test_undo_against_the_job_is_one_or_the_other(blocked: Conversation, admin: Actor, attempt: int) -> None:
    newest = Event.objects.latest("number").number
    held = release(admin, message("one"), all_of_sender=True)
    hold_over()
    undone, count = at_once([lambda: undo_release(admin, held), lambda: settle(blocked.id)])
    held.refresh_from_db()
    if isinstance(undone, ReleaseSettled):
        assert (held.state, count, len(told(blocked, after=newest))) == ("done", 3, 3)
    else:
        assert (held.state, count, told(blocked, after=newest)) == ("undone", 0, [])


@pytest.mark.usefixtures("racing")
def test_texts_arriving_during_a_release_are_lost_nowhere(
    blocked: Conversation, admin: Actor, line: Line, identity: Identity
) -> None:
    release(admin, message("one"), all_of_sender=True)
    hold_over()
    arriving = stored(line, *(text_event(line, f"more {n}") for n in range(6)))
    assert not failures(at_once([*arriving, lambda: settle(blocked.id)]))
    assert len(seen_by_agent(identity)) + Message.objects.blocked().count() == 10
    assert not Message.objects.blocked().exists()  # either it went along, or the number was allowed
    assert kept(blocked) == recounted(blocked)


def test_a_job_that_died_in_between_has_done_nothing(
    blocked: Conversation, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = release(admin, message("one"), all_of_sender=True)
    hold_over()

    def die(*given: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(releasing, "_tell_agent", die)
        with pytest.raises(SystemExit):
            settle(blocked.id)
    assert (kept(blocked), ContactRule.objects.count()) == (recounted(blocked), 1)
    assert settle(blocked.id) == 3
    held.refresh_from_db()
    assert (held.state, held.count) == ("done", 3)


def test_the_sweep_wakes_a_release_whose_job_was_lost(blocked: Conversation, admin: Actor) -> None:
    release(admin, message("one"))
    Release.objects.update(due_at=timezone.now() - timedelta(seconds=6))
    for job in waiting_jobs("imessage.release"):
        forget(job["id"])
    releasing.wake_overdue()
    run_jobs()
    assert message("one").is_blocked is False


def forget(job_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [job_id])


# --- The counters


@pytest.mark.parametrize("seed", range(4))
def test_counters_equal_a_recount_after_any_blocks_and_releases(
    seed: int, conversation: Conversation, identity: Identity, line: Line, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(releasing, "BATCH", 3)

    def any_blocked() -> Message | None:
        return chance.choice(list(Message.objects.blocked()) or [None])

    def toggle_rule() -> None:
        if rule := ContactRule.objects.first():
            rules.delete_rule(admin, rule)
        else:
            rules.create_rule(admin, identity, action="block", match_target=make.HUMAN)

    def ask() -> None:
        if found := any_blocked():
            with contextlib.suppress(ReleaseUnderWay):
                release(admin, found, all_of_sender=chance.random() < 0.3, allow=chance.random() < 0.5)

    def undo() -> None:
        if held := Release.objects.filter(state="held").first():
            undo_release(admin, held)

    def let_go() -> None:
        hold_over()
        settle(conversation.id)

    deeds = [lambda: text_in(line)] * 5 + [toggle_rule, toggle_rule, ask, ask, undo, let_go]
    for _ in range(60):
        chance.choice(deeds)()
        assert kept(conversation) == recounted(conversation)
    hold_over()
    while settle(conversation.id):
        assert kept(conversation) == recounted(conversation)
    released = Message.objects.released().count()
    assert released == sum(Release.objects.values_list("count", flat=True))


def test_all_of_a_sender_in_a_group_are_those_of_that_member(identity: Identity, admin: Actor) -> None:
    group = make.make_group(make.make_owned_line(identity))
    mine, theirs = (make.make_message(group, human=human, is_blocked=True) for human in (make.HUMAN, make.OTHER_HUMAN))
    release(admin, mine, all_of_sender=True)
    with pytest.raises(ReleaseUnderWay):
        release(admin, theirs, all_of_sender=True)
    hold_over()
    settle(group.id)
    assert set(Message.objects.blocked().values_list("pk", flat=True)) == {theirs.pk}
    assert list(ContactRule.objects.values_list("match_target", flat=True)) in ([], [make.HUMAN])
    assert Release.objects.get().state == Release.State.DONE
