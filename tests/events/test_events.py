"""Events are written in the transaction that did the thing, and told after it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import Identity
from events import feed
from events.models import Event
from events.record import record
from tests import make
from tests.installation import waited


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="inside a transaction"):
        record(make.operator(), "line.seen")


@pytest.mark.django_db
def test_an_event_goes_back_with_its_transaction() -> None:
    with transaction.atomic():
        record(make.operator(), "line.seen")
        transaction.set_rollback(True)
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_failed_publish_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "CHANNEL", "x" * 9000)
    with transaction.atomic():
        record(make.operator(), "line.seen")
    assert Event.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_settled_events_end_before_the_first_open_transaction() -> None:
    with transaction.atomic():
        record(make.operator(), "line.seen")
    written, may_commit = threading.Event(), threading.Event()

    def hold_open() -> None:
        with transaction.atomic():
            record(make.operator(), "line.wanted")
            written.set()
            may_commit.wait(10)
        connection.close()

    holder = threading.Thread(target=hold_open)
    holder.start()
    written.wait(10)
    with transaction.atomic():
        record(make.operator(), "line.seen")
    seen, settled = Event.objects.count(), Event.objects.settled().count()
    may_commit.set()
    holder.join(10)
    assert seen == 2
    # Open transactions of other databases on the server hold the mark back too.
    assert settled <= 1
    ends = time.monotonic() + 20
    while Event.objects.settled().count() < 3:
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.django_db
def test_the_feed_reads_a_margin_back() -> None:
    with transaction.atomic():
        first = record(make.operator(), "line.seen").number
        last = record(make.operator(), "line.wanted").number
    assert feed.last_number() == last
    assert [item.number for item in feed.items_since(last)] == [first, last]


@pytest.mark.django_db(transaction=True)
def test_who_reads_again_gets_what_is_new_and_what_a_slower_transaction_added() -> None:
    def noted() -> int:
        with transaction.atomic():
            return record(make.operator(), "line.seen").number

    before, reader = noted(), feed.Reader()
    assert numbers(reader, before) == [before]
    with ThreadPoolExecutor(1) as slow, transaction.atomic():
        late = record(make.operator(), "line.wanted").number
        first = slow.submit(closing(noted)).result()
        assert slow.submit(closing(lambda: numbers(reader, before))).result()[-1] == first
    second = noted()
    assert {late, second} <= set(numbers(reader, first))
    # What began after the slowest transaction anywhere may come again; who reads drops what was seen.
    waited(lambda: numbers(reader, second) == [], what="the margin to be known")
    assert numbers(reader, noted() - 1) != []


def numbers(reader: feed.Reader, last: int) -> list[int]:
    return [item.number for item in reader.items_since(last)]


def closing(deed: Callable[[], Any]) -> Callable[[], Any]:
    """The deed on a connection of its own, which must not outlive the test."""

    def do() -> Any:
        try:
            return deed()
        finally:
            connection.close()

    return do


@pytest.mark.django_db
def test_each_sees_its_own(identity: Identity, charlies_identity: Identity) -> None:
    with transaction.atomic():
        for one in (identity, charlies_identity):
            record(make.operator(), "message.blocked", organization_id=one.organization_id, identity_id=one.id)
        record(make.operator(), "line.seen")
    seen = {
        "agent": Event.objects.visible_to(make.agent_of(identity)).count(),
        "admin": Event.objects.visible_to(make.admin_of(identity.organization)).count(),
        "operator": Event.objects.visible_to(make.operator()).count(),
    }
    assert seen == {"agent": 0, "admin": 1, "operator": 3}
