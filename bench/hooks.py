"""Endpoints, events and what arrives: the webhooks' side of a measurement."""

import time
from collections.abc import Set
from uuid import UUID

from django.db import connection, transaction

from bench.population import Population
from bench.stage import Stage, free_port
from core.actor import Actor
from events.models import Event
from events.record import record
from webhooks.catalog import example_of
from webhooks.fanout import fan_out
from webhooks.models import Subscription
from webhooks.nudging import nudge
from webhooks.subscribing import create_subscription

_ACTOR = Actor.system("bench")
_WAITS = 0.02


class Hooks:
    """One endpoint for each agent, at a receiver of our own."""

    def __init__(self, stage: Stage, population: Population) -> None:
        self._stage = stage
        self._port = free_port()
        self._notes = stage.home / "received.txt"
        self._notes.touch()
        stage.serve("receiver", "bench.receiver", str(self._port), str(self._notes), port=self._port)
        self._read = 0
        self._agents = [identity for identity, _, _ in population.agents]
        self._conversations = {identity.id: conversation.id for identity, _, conversation in population.agents}
        for identity in self._agents:
            url = f"http://127.0.0.1:{self._port}/hook"
            create_subscription(_ACTOR, identity, url=url, event_types=["message.received"])
        self._hanging: set[UUID] = set()
        self._made = 0

    def prepare(self, count: int) -> set[str]:
        """Events with their deliveries made and due, and the word that wakes a worker.

        Returns the public ids of those that will arrive.
        """
        events = [self._event() for _ in range(count)]
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_jobs WHERE status = 'todo'")
        for event in events:
            fan_out(event.number)
        nudge()
        return {event.public_id for event in events if event.identity_id not in self._hanging}

    def hang(self, count: int) -> None:
        """The last agents' endpoints never answer from now on."""
        self._hanging = {identity.id for identity in self._agents[-count:]}
        rows = Subscription.objects.filter(identity_id__in=self._hanging)
        rows.update(url=f"http://127.0.0.1:{self._port}/hang")

    def arrivals(self, wanted: Set[str], *, within: float) -> dict[str, float]:
        """When each of these events came first, by its public id; raises when they do not come in time."""
        came: dict[str, float] = {}
        ends = time.monotonic() + within
        while not came.keys() >= wanted:
            if time.monotonic() > ends:
                raise RuntimeError(f"{len(came)} of {len(wanted)} webhooks came; {self._stage.log('worker')[-2000:]}")
            time.sleep(_WAITS)
            with self._notes.open() as notes:
                notes.seek(self._read)
                whole, _, _ = notes.read().rpartition("\n")
            if whole:
                self._read += len(whole) + 1
                for line in whole.split("\n"):
                    key, at = line.split()
                    if key in wanted:  # a repeat of an earlier round's may come too
                        came.setdefault(key, float(at))
        return came

    def dwell_p99(self, *, rate: int, seconds: float) -> float:
        """Milliseconds from an event's recording to its arrival, at so many events a second over all agents."""
        events: list[Event] = []
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            events.append(self._event())
        told = {event.public_id: event.at.timestamp() for event in events if event.identity_id not in self._hanging}
        came = self.arrivals(told.keys(), within=30)
        lay = sorted(came[key] - at for key, at in told.items())
        return lay[int(len(lay) * 0.99)] * 1000

    def _event(self) -> Event:
        self._made += 1
        identity = self._agents[self._made % len(self._agents)]
        organization_id = str(identity.organization_id)
        data = example_of("message.received", organization_id=organization_id, identity_id=str(identity.id))
        conversation_id = self._conversations[identity.id]
        data["message"]["conversation_id"] = str(conversation_id)
        with transaction.atomic():
            return record(
                _ACTOR,
                "message.received",
                organization_id=identity.organization_id,
                identity_id=identity.id,
                conversation_id=conversation_id,
                data={**data, "identity_reachable": True},
            )
