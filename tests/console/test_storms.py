"""Acceptance 1 and 5 on every list that people watch: whatever is done to its rows, open pages hear of it and agree.

One world of rows and of the product's own deeds on them serves all lists.
"""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.identities import rename_identity, update_identity
from accounts.members import actor_of
from accounts.models import Identity, Membership, User
from console.held import BLOCKED, SENDERS
from console.lists import FilterSpec
from console.models import Job
from console.views.deliveries import DELIVERIES
from console.views.identities import IDENTITIES
from console.views.jobs import JOBS
from console.views.rulebook import RULES
from console.views.threads import THREADS
from console.views.webhooks import WEBHOOKS
from console.work import DEEDS, Plan, cancel_job, pause_job, resume_job, start_job
from console.work.running import run_job
from contactrules import rules
from contactrules.models import ContactRule
from core.errors import DomainError
from imessage import connecting, receipts, releasing, reviewing
from imessage.models import Connection, Conversation, Message, Release
from tests import make
from tests.console.listing import Window, addresses, clock_at, keys, tried, undone
from tests.providers.scripted import text_in
from tests.webhooks.endpoints import deliver, make_due, subscribe
from webhooks.claiming import Outcome, claim, settle
from webhooks.models import Attempt, Subscription
from webhooks.subscribing import delete_subscription, disable_subscription, enable_subscription

# Of each list its page's address; what stands there is what the page shows without anything asked.
WATCHED = {spec.name: spec for spec in (THREADS, BLOCKED, SENDERS, DELIVERIES, RULES, IDENTITIES, WEBHOOKS, JOBS)}
OPENED = {"blocked": "?view=all", "blocked-senders": "?group=sender"}

ALL_WATCHED = pytest.mark.parametrize("spec", WATCHED.values(), ids=WATCHED)
few = settings(tried, max_examples=5)


class World:
    """Rows of every kind, and an admin who does one thing at a time; what is refused changes nothing."""

    def __init__(self, alice: User, identity: Identity) -> None:
        self.admin = actor_of(alice)
        self.identity = identity
        self.connection = make.make_connection(identity, line=make.make_line("+15555550108"))
        self.thread = make.make_conversation(connection=self.connection)
        other = make.make_conversation(make.make_identity(identity.organization, "other"), make.OTHER_HUMAN)
        self.blocked = [make.make_message(one, "let me in", is_blocked=True) for one in (self.thread, other)]
        self.endpoint = subscribe(identity, "https://agent.example.com/hook")
        self.rule = make.make_rule(identity, "+15555550777", "allow")
        self.add_job()

    def rename_identity(self) -> None:
        rename_identity(self.admin, self.identity, handle="renamed")

    def arrive(self) -> None:
        text_in(self.connection.line)

    def block(self) -> None:
        rules.create_rule(self.admin, self.identity, action="block", match_target=make.HUMAN)

    def review(self) -> None:
        reviewing.mark_reviewed(self.admin, self.blocked[0])

    def unreview(self) -> None:
        reviewing.unmark_reviewed(self.admin, self.blocked[0])

    def review_sender(self) -> None:
        reviewing.mark_sender_reviewed(self.admin, self.thread)

    def hold_release(self) -> None:
        releasing.release(self.admin, self.blocked[0], allow=False)

    def undo_release(self) -> None:
        releasing.undo_release(self.admin, Release.objects.get())

    def release(self) -> None:
        releasing.release(self.admin, self.blocked[0], hold=timedelta(0))
        releasing.settle(self.thread.id)

    def fan_out(self) -> None:
        deliver(Conversation.objects.get(pk=self.thread.pk), 4)

    def answer_503(self) -> None:
        self._answer(503)

    answer_503_again = answer_503

    def answer_200(self) -> None:
        self._answer(200)

    def disable_endpoint(self) -> None:
        disable_subscription(self.admin, self.endpoint)

    def enable_endpoint(self) -> None:
        enable_subscription(self.admin, self.endpoint)

    def answer_410(self) -> None:
        self._answer(410)

    def delete_endpoint(self) -> None:
        delete_subscription(self.admin, self.endpoint)

    def pause_rule(self) -> None:
        rules.update_rule(self.admin, self.rule, changes={"status": "paused"})

    def delete_rule(self) -> None:
        rules.delete_rule(self.admin, self.rule)

    def flip_mode(self) -> None:
        rules.set_filter_mode(self.admin, self.identity, mode="whitelist")

    def read(self) -> None:
        receipts.mark_read(self.admin, self.thread)

    def pause_identity(self) -> None:
        update_identity(self.admin, self.identity, changes={"status": "paused"})

    def resume_identity(self) -> None:
        update_identity(self.admin, self.identity, changes={"status": "active"})

    def add_job(self) -> None:
        listing = RULES.asked("", self.admin)
        start_job(self.admin, DEEDS["resume-rules"], Plan.of(listing, chosen=None), options={})

    def pause_job(self) -> None:
        Job.objects.filter(state="counting").update(state="running")
        pause_job(self.admin, self._job())

    def resume_job(self) -> None:
        resume_job(self.admin, self._job())

    def run_job(self) -> None:
        run_job(self._job().id)

    def cancel_job(self) -> None:
        cancel_job(self.admin, self._job())

    def end_connection(self) -> None:
        connecting.release(self.admin, self.connection)

    def delete_identity(self) -> None:
        connecting.delete_identity(self.admin, self.identity)

    def _answer(self, status: int) -> None:
        make_due()
        settle([Outcome(one, _attempt(one, status)) for one in claim(most=1)])

    def _job(self) -> Job:
        return Job.objects.latest("created_at")


def _attempt(given: Any, status: int) -> Attempt:
    return Attempt(
        organization_id=given.organization_id,
        identity_id=given.identity_id,
        subscription_id=given.subscription_id,
        delivery_id=given.id,
        number=given.attempts_made + 1,
        url=given.url,
        request_headers={},
        response_status=status,
        duration_ms=12,
        cause="" if status < 300 else "server",
        at=timezone.now(),
    )


DEEDS_OF_ALL = [name for name in vars(World) if not name.startswith("_")]


def do(world: World, deed: str) -> None:
    world.identity = Identity.objects.get(pk=world.identity.pk)
    world.thread = Conversation.objects.get(pk=world.thread.pk)
    world.connection = Connection.objects.select_related("line").get(pk=world.connection.pk)
    world.blocked = list(Message.objects.filter(pk__in=[one.pk for one in world.blocked]).order_by("id"))
    world.endpoint = Subscription.objects.get(pk=world.endpoint.pk)
    world.rule = ContactRule.objects.filter(pk=world.rule.pk).first() or world.rule
    with contextlib.suppress(DomainError, Release.DoesNotExist):
        getattr(world, deed)()


@pytest.fixture
def make_world(alice: User, identity: Identity) -> Callable[[], World]:
    return lambda: World(alice, identity)


@ALL_WATCHED
def test_1_each_deed_that_changes_a_list_is_heard_by_its_page(
    spec: FilterSpec, as_alice: Client, make_world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, window = make_world(), Window(monkeypatch, as_alice)
    window.open(spec.url + OPENED.get(spec.name, ""))
    shown, changing, unheard = window.held, [], []
    for deed in DEEDS_OF_ALL:
        do(world, deed)
        if (drawn := window.fetched()) != shown:
            changing.append(deed)
            unheard += [] if window.has_heard() else [deed]
        shown = drawn
        window.heard.clear()
    assert unheard == []
    assert len(changing) > 2


@ALL_WATCHED
@few
@given(data=st.data())
def test_1_an_open_list_equals_a_fresh_one_after_a_storm(
    spec: FilterSpec,
    as_alice: Client,
    make_world: Callable[[], World],
    data: st.DataObject,
) -> None:
    with undone(), pytest.MonkeyPatch.context() as patch:
        world, window = make_world(), Window(patch, as_alice)
        window.open(spec.url + _asked(spec, world, data))
        for deed in data.draw(st.lists(st.sampled_from(DEEDS_OF_ALL), min_size=1, max_size=8)):
            do(world, deed)
            window.refresh()
        assert window.held in window.fresh()


@ALL_WATCHED
@few
@given(data=st.data())
def test_5_a_pasted_address_shows_a_colleague_the_same_rows(
    spec: FilterSpec, as_alice: Client, as_bob: Client, make_world: Callable[[], World], data: st.DataObject
) -> None:
    # A viewer may not find by its words or number what it may not read (console/held.py): there an admin is asked.
    if spec in (BLOCKED, SENDERS):
        Membership.objects.update(role="admin")
    with undone():
        world = make_world()
        for deed in data.draw(st.lists(st.sampled_from(DEEDS_OF_ALL), max_size=4)):
            do(world, deed)
        mine = as_alice.get(spec.url + _asked(spec, world, data)).context["listing"]
        with clock_at(mine.now):
            theirs = as_bob.get(mine.spec.url + mine.here()).context["listing"]
        assert [row.pk for row in theirs.page.rows] == [row.pk for row in mine.page.rows]
        assert keys(theirs) == keys(mine)


def _asked(spec: FilterSpec, world: World, data: st.DataObject) -> str:
    asked = data.draw(addresses(spec, world.admin, strange=False))
    return asked if spec is not SENDERS else f"{asked}&group=sender"
