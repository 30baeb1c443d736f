"""A whole pool: no human ever shares a line between two agents, and a line is emptied in the time that was foretold."""

import random
from collections import Counter
from datetime import datetime, timedelta

import pytest
from django.db.models import Count
from django.utils import timezone

from accounts.models import Identity
from imessage import connecting, moving
from imessage.models import Connection, Conversation, Message, RouterMessage
from imessage.receiving import apply_callback
from imessage.sending import send_message
from lines import health
from lines.callbacks import store
from lines.models import Callback, Dispatch, Line, Move, ProviderAccount, Route
from lines.moving import forecast_move, start_move
from tests import make
from tests.providers.scripted import START, ScriptedDriver, forget_jobs, run_jobs, text_event

pytestmark = pytest.mark.django_db

USUAL = {"new_per_hour": 15, "new_per_day": 50, "new_gap": 120}


class Pool:
    """Lines, agents and humans, and what each human believes: which agent is behind which number."""

    def __init__(self, account: ProviderAccount, *, lines: int, humans: int, agents: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.router = make.make_router(account=account)
        self.lines = [make.make_line(account=account, limits=USUAL, capacity=1000) for _ in range(lines)]
        self.agents = [make.make_identity(handle=f"agent-of-{seed}-{n}") for n in range(agents)]
        self.humans = [f"+1555556{n:04}" for n in range(humans)]
        self.behind: dict[tuple[str, str], Identity] = {}  # (human, number) -> whom the human means
        self.said: Counter[tuple[str, str]] = Counter()  # (text, handle of whom it is for)
        self.answered: list[str] = []

    def connect(self, human: str, agent: Identity, verb: str = "connect") -> Line | None:
        connecting.hear(self.router, human=human, text=f"{verb} @{agent.handle}", handle="")
        connection = Connection.objects.filter(identity=agent, human=human, status="active").first()
        if connection:
            self.behind[human, connection.line.address] = agent
        return connection.line if connection else None

    def disconnect(self, human: str, agent: Identity) -> None:
        connecting.hear(self.router, human=human, text=f"disconnect @{agent.handle}", handle="")

    def write(self, human: str, number: str) -> None:
        """The human writes to a number and means the agent that they know it as."""
        meant = self.behind[human, number]
        text = f"{human} to @{meant.handle}, {len(self.said)}"
        line = Line.objects.select_related("account").get(address=number)
        store(line.account, text_event(line, text, human), polled=False)
        state = apply_callback(Callback.objects.latest("id").id)
        if state == Callback.State.APPLIED:
            self.said[text, meant.handle] += 1

    def write_somewhere(self) -> None:
        self.write(*self.chance.choice(list(self.behind)))

    def answer(self, conversation: Conversation) -> None:
        text = f"answer {len(self.answered)}"
        send_message(make.agent_of(conversation.identity), conversation=conversation, text=text)
        self.answered.append(text)

    def check(self) -> None:
        """Every text reached whom it was meant for, once; no pair of line and human is two agents'."""
        stored = Message.objects.filter(direction="inbound").values_list("text", "identity__handle")
        assert Counter((text or "", handle) for text, handle in stored) == self.said
        shared = Message.objects.values("line", "human").annotate(agents=Count("identity", distinct=True))
        if not RouterMessage.objects.filter(command="replace").exists():
            assert not shared.filter(agents__gt=1).exists()
        pairs = Route.objects.standing().values("line", "human").annotate(agents=Count("identity", distinct=True))
        assert not pairs.filter(agents__gt=1).exists()


def pass_time() -> None:
    """What has left, left long ago: the pace of the real clock is another test's."""
    Dispatch.objects.update(claimed_at=START)


@pytest.mark.parametrize("seed", range(2))
def test_no_text_reaches_an_agent_whom_the_human_did_not_mean(seed: int, account: ProviderAccount) -> None:
    pool = Pool(account, lines=4, humans=4, agents=3, seed=seed)
    chance, now = pool.chance, timezone.now()
    for _ in range(40):
        human, agent = chance.choice(pool.humans), chance.choice(pool.agents)
        deed = chance.choice(["connect", "connect", "write", "write", "disconnect", "replace", "move", "expire"])
        if deed in {"connect", "replace"}:
            pool.connect(human, agent, deed)
        elif deed == "disconnect":
            pool.disconnect(human, agent)
        elif deed == "write" and pool.behind:
            pool.write_somewhere()
        elif deed == "move":
            now = _move_all(pool, chance.choice(pool.lines), now)
        elif deed == "expire":
            Route.objects.exclude(held_until=None).filter(human=human).update(held_until=START)
            for known in [known for known in pool.behind if known[0] == human]:
                if not Route.objects.reaching().filter(human=human, line__address=known[1]).exists():
                    del pool.behind[known]
        forget_jobs()
    pool.check()


def _move_all(pool: Pool, line: Line, now: datetime) -> datetime:
    if not forecast_move(line, now=now).placed:
        return now
    move = start_move(make.operator(), line)
    while Move.objects.get(pk=move.pk).state == "going" and now < timezone.now() + timedelta(days=60):
        moving.go_on(move.id, now=now)
        move.refresh_from_db()
        now = move.next_at or now
        if move.state == "going" and not forecast_move(line, now=now).placed:
            Move.objects.filter(pk=move.pk).update(state="cancelled")
    for item in move.items.exclude(to_line=None).select_related("identity", "to_line"):
        assert item.to_line
        pool.behind[item.human, item.to_line.address] = item.identity
    return now


@pytest.mark.parametrize(
    ("lines", "humans", "agents"), [(5, 8, 3), pytest.param(20, 1000, 3, marks=pytest.mark.soak)], ids=["some", "all"]
)
def test_a_drained_line_s_humans_move_in_the_time_foretold_and_no_text_is_lost(
    lines: int, humans: int, agents: int, account: ProviderAccount, driver: ScriptedDriver
) -> None:
    pool = Pool(account, lines=lines, humans=humans, agents=agents, seed=1)
    for human in pool.humans:
        for agent in pool.chance.sample(pool.agents, k=pool.chance.randint(1, agents)):
            line = pool.connect(human, agent)
            assert line
            pool.write(human, line.address)
    forget_jobs()
    RouterMessage.objects.all().delete()
    loads = Counter(Route.objects.carrying().values_list("line", flat=True))
    assert max(loads.values()) - min(loads.values()) <= 3

    leaving = pool.lines[0]
    health.want(make.operator(), leaving, wanted="draining")
    begin = timezone.now()
    forecast = forecast_move(leaving, now=begin)
    assert forecast.is_enough
    move = start_move(make.operator(), leaving, confirmed=forecast.humans)
    before = Route.objects.carrying().filter(line=leaving).values("identity", "human")
    threads = list(Conversation.objects.filter(human__in=[pair["human"] for pair in before], connection__line=leaving))
    now = begin
    while move.state == "going":
        now = move.next_at or now
        for thread in pool.chance.sample(threads, k=min(3, len(threads))):
            pool.write(thread.human, leaving.address)  # the number they know, moved or not
            pool.answer(thread)
        moving.go_on(move.id, now=now)
        pass_time()
        run_jobs()
        move.refresh_from_db()

    assert (move.state, move.moved, move.unplaced) == ("done", forecast.humans, 0)
    assert abs(now - begin - forecast.lasts) < timedelta(seconds=1)
    assert not Route.objects.carrying().filter(line=leaving).exists()
    assert Counter(driver.texts) == Counter(pool.answered) + Counter(
        moving.opener(thread.identity) for thread in threads
    )
    assert {message.status for message in Message.objects.filter(direction="outbound")} == {"sent"}
    pool.check()
