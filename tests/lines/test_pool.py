"""Which line carries whom: no pair is ever shared, whatever happens in what order."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Identity
from lines.models import Line, Route
from lines.pool import give_line, is_worth_waiting, live_route, release_line
from tests import make

pytestmark = pytest.mark.django_db

HUMANS = ["+15555550123", "+15555550124", "+15555550125"]


@pytest.mark.parametrize("seed", range(5))
def test_no_pair_is_shared_in_any_history(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(3):
        make.make_line()
    agents = [make.make_identity() for _ in range(4)]
    carries: dict[tuple[object, str], object] = {}  # (agent, human) -> line, while live
    reserved: dict[tuple[object, str], object] = {}  # (line, human) -> agent, live or held
    for _ in range(60):
        agent, human = chance.choice(agents), chance.choice(HUMANS)
        deed = chance.choice(["connect", "connect", "disconnect", "expire"])
        if deed == "connect":
            line = give_line(agent, human)
            if line is None:
                assert len([1 for (_, who), whose in reserved.items() if who == human]) == 3
                continue
            assert reserved.get((line.id, human), agent.id) == agent.id
            own = [held for (held, who), whose in reserved.items() if who == human and whose == agent.id]
            assert not own or own == [line.id]
            carries[agent.id, human] = line.id
            reserved[line.id, human] = agent.id
        elif deed == "disconnect":
            release_line(agent, human)
            carries.pop((agent.id, human), None)
        elif (agent.id, human) not in carries:
            Route.objects.filter(identity=agent, human=human).update(held_until=timezone.now() - timedelta(seconds=1))
            for key in [key for key, whose in reserved.items() if whose == agent.id and key[1] == human]:
                del reserved[key]
        live = Route.objects.live().values_list("identity_id", "human", "line_id")
        assert {(agent_id, who): line_id for agent_id, who, line_id in live} == carries


def test_the_database_refuses_a_shared_pair(line: Line) -> None:
    Route.objects.create(line=line, line_kind=line.kind, human=make.HUMAN, identity=make.make_identity())
    with pytest.raises(IntegrityError), transaction.atomic():
        Route.objects.create(line=line, line_kind=line.kind, human=make.HUMAN, identity=make.make_identity())


@pytest.mark.parametrize(
    ("human", "kind", "fits"),
    [("*", "dedicated", True), ("*", "pool", False), (make.HUMAN, "dedicated", False), (make.HUMAN, "pool", True)],
)
def test_only_a_dedicated_line_takes_every_human(human: str, kind: str, fits: bool, line: Line) -> None:
    def create() -> None:
        with transaction.atomic():
            Route.objects.create(line=line, line_kind=kind, human=human, identity=make.make_identity())

    if fits:
        create()
    else:
        with pytest.raises(IntegrityError):
            create()


def test_a_held_route_is_not_live(identity: Identity, line: Line) -> None:
    make.make_connection(identity, line=line)
    assert live_route(line, make.HUMAN)
    release_line(identity, make.HUMAN)
    assert live_route(line, make.HUMAN) is None


def given(human: str = make.HUMAN, identity: Identity | None = None) -> Line | None:
    with transaction.atomic():
        return give_line(identity or make.make_identity(), human)


def talking(line: Line, count: int) -> None:
    for n in range(count):
        make.make_connection(human=f"+1555557{n:04}", line=line)
    Route.objects.filter(line=line).update(last_traffic_at=timezone.now())


@pytest.mark.parametrize(
    ("fields", "humans", "room"),
    [
        ({"capacity": 5}, 3, True),
        ({"capacity": 5}, 4, False),
        ({"most_connections": 4}, 3, True),
        ({"most_connections": 4}, 4, False),
        ({"service": "sms"}, 0, False),
    ],
)
def test_a_line_is_given_below_four_fifths_of_its_capacity(
    fields: dict[str, Any], humans: int, room: bool, db: None
) -> None:
    line = make.make_line(**fields)
    talking(line, humans)
    assert given() == (line if room else None)
    assert is_worth_waiting(make.HUMAN) == ("service" not in fields and not room)


def test_as_a_last_resort_a_degraded_or_a_fuller_line_is_given(settings: Any) -> None:
    settings.POOL_LAST_RESORT = True
    degraded = make.make_line(seen="degraded")
    assert given() == degraded
    Line.objects.filter(pk=degraded.pk).update(seen="down")
    full = make.make_line(capacity=5)
    talking(full, 4)
    assert given(make.OTHER_HUMAN) == full
    assert given("+15555550126") is None


def test_the_human_s_own_country_comes_first_then_the_load() -> None:
    abroad = make.make_line(region="US")
    home, fuller = make.make_line(region="GB"), make.make_line(region="GB")
    talking(fuller, 1)
    assert given("+442079460000") == home
    assert given("+12025550123") == abroad


def test_one_organization_s_humans_are_spread_over_what_fails_together() -> None:
    identity = make.make_identity()
    first, neighbour = make.make_line(domain="mac one"), make.make_line(domain="mac one")
    other = make.make_line(domain="mac two")
    assert [given(human, identity) for human in HUMANS] == [first, other, neighbour]


def test_the_line_that_was_not_given_for_longest_is_next() -> None:
    lines = [make.make_line(domain=str(n)) for n in range(3)]
    assert [given(human) for human in HUMANS] == lines


def test_a_line_that_wrote_to_many_strangers_today_gets_no_new_human() -> None:
    line = make.make_line(limits={"new_per_day": 5})
    talking(line, 4)
    assert given() == line
    Route.objects.filter(line=line, human__startswith="+1555557").update(opened_at=timezone.now())
    assert given(make.OTHER_HUMAN) is None
