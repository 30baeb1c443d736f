"""Which line carries whom: no pair is ever shared, whatever happens in what order."""

import random
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Identity
from lines.models import Line, Route
from lines.pool import give_line, live_route, release_line
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
