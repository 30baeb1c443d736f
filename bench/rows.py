"""The rows of the reference: each measures the product and its yardsticks in alternating rounds, and yields figures."""

from collections.abc import Iterator, Sequence
from functools import cached_property

from django.db import connection

from bench import captures, requests
from bench.archive import LONG, Archive
from bench.hooks import Hooks
from bench.load import Load, Plan, drive
from bench.population import AGENTS, Population
from bench.stage import Stage
from bench.table import Figure

CLIENTS = 16
CAPTURED = 16
# Most requests a second that a plan holds ready.
MOST = 1500

_TRIGGER = (
    "CREATE TRIGGER bench_notify AFTER INSERT ON procrastinate_jobs FOR EACH ROW"
    " WHEN (new.status = 'todo'::procrastinate_job_status)"
    " EXECUTE PROCEDURE procrastinate_notify_queue_job_inserted_v1()"
)


class Rows:
    """One method for each row, of the name that the command takes."""

    def __init__(self, stage: Stage, *, rounds: int, seconds: float, messages: int) -> None:
        self._stage = stage
        self._messages = messages
        self._rounds = rounds
        self._seconds = seconds

    def send(self) -> Iterator[Figure]:
        """Sends accepted a second, and how long one takes at 50 a second. No worker takes the machine's time."""
        scripts, statements = self._captured_sends()
        ours, plain, limit = [], [], []
        for _ in self._warm_and_rounds():
            self._population.age()
            ours.append(self._load(self._web, self._sends()))
            self._population.age()
            plain.append(self._load(self._stage.plain, self._plain_sends()))
            self._population.age()
            limit.append(captures.limit(self._stage, scripts, seconds=self._seconds))
        note = f"{statements} statements"
        yield Figure("send", "/s", ours[1:], 0.35, 0.5, limit[1:], "pgbench", note=note)
        yield Figure("send", "/s", ours[1:], 1.5, 2.0, plain[1:], "plain Django")
        self._population.age()
        late = [self._open_loop(self._sends(100)) for _ in range(self._rounds)]
        yield Figure("send p99 at 50/s", "ms", late, 25, 12, lower=True)

    def list(self) -> Iterator[Figure]:
        """Lists of the last 50 messages of a conversation, with media and tapbacks."""
        asked = [
            requests.get(self._web, f"/api/v1/imessage/messages?conversation_id={conversation.id}&limit=50", key)
            for _, key, conversation in self._population.agents
        ]
        asked_plain = [
            requests.get(self._stage.plain, f"/messages?conversation_id={conversation.id}")
            for _, _, conversation in self._population.agents
        ]
        scripts, statements = self._captured(asked[:CAPTURED])
        many = int(30 * self._seconds)
        ours, plain, limit = [], [], []
        for _ in self._warm_and_rounds():
            ours.append(self._load(self._web, asked * many))
            plain.append(self._load(self._stage.plain, asked_plain * many))
            limit.append(captures.limit(self._stage, scripts, seconds=self._seconds))
        note = f"{statements} statements"
        yield Figure("list of 50", "/s", ours[1:], 0.35, 0.55, limit[1:], "pgbench", note=note)
        yield Figure("list of 50", "/s", ours[1:], 2.0, 4.0, plain[1:], "plain Django")

    def callback(self) -> Iterator[Figure]:
        """A provider's callbacks, answered after they are committed with their job."""
        each, late = [], []
        for _ in self._warm_and_rounds():
            each.append(self._load(self._web, self._callbacks(int(MOST * self._seconds))))
            late.append(self._open_loop(self._callbacks(100)))
            self._population.age()
        yield Figure("callback", "/s", each[1:], 500, 1000)
        yield Figure("callback p99 at 50/s", "ms", late[1:], 30, 15, lower=True)

    def webhooks(self) -> Iterator[Figure]:
        """Deliveries of one worker, and how long an event lies when some endpoints hang."""
        hooks = Hooks(self._stage, self._population)
        self._population.age()
        count, each = int(250 * self._seconds), []
        for _ in self._warm_and_rounds():
            wanted = hooks.prepare(count)
            self._stage.start_worker()
            came = hooks.arrivals(wanted, within=60)
            self._stage.stop("worker")
            each.append((len(came) - 1) / (max(came.values()) - min(came.values())))
        yield Figure("webhook deliveries", "/s", each[1:], 300, 1000, note="one worker; deliveries made before")
        hooks.hang(20)
        self._stage.start_worker()
        hooks.arrivals(hooks.prepare(AGENTS), within=30)  # it is awake
        dwells = [hooks.dwell_p99(rate=50, seconds=4) for _ in self._warm_and_rounds()]
        self._stage.stop("worker")
        yield Figure("webhook dwell p99 at 50/s, 20 hang", "ms", dwells[1:], 500, 150, lower=True)

    def notify(self) -> Iterator[Figure]:
        """Callbacks, a job each, with the queue's NOTIFY after the commit, against the library's own inside it."""
        after, inside = [], []
        for _ in self._warm_and_rounds():
            self._population.age()
            after.append(self._load(self._web, self._callbacks(int(MOST * self._seconds))))
            self._population.age()
            self._run(_TRIGGER)
            inside.append(self._load(self._web, self._callbacks(int(MOST * self._seconds))))
            self._run("DROP TRIGGER bench_notify ON procrastinate_jobs")
        yield Figure("callback, NOTIFY after commit", "/s", after[1:], 0.95, 1.3, inside[1:], "NOTIFY inside")

    def console(self) -> Iterator[Figure]:
        """The console's pages with a million messages stored, one reader after the other (row 10)."""
        archive = Archive(self._population, messages=self._messages)
        for name, address, session, must in _pages(archive):
            asked = requests.page(self._web, address, session)
            _one(self._web, asked)
            took = [_good(drive(Plan(self._web, [asked] * 5, 1, 60))).p50 for _ in range(self._rounds)]
            yield Figure(name, "ms", took, must, must / 2, lower=True, note=address.partition("?")[2])

    @cached_property
    def _population(self) -> Population:
        return Population()

    @property
    def _web(self) -> int:
        return self._stage.web

    def _warm_and_rounds(self) -> range:
        """One round more than counts: the first warms up."""
        return range(self._rounds + 1)

    def _load(self, port: int, asked: Sequence[bytes]) -> float:
        """Good answers a second in a closed loop."""
        return _good(drive(Plan(port, list(asked), CLIENTS, self._seconds))).per_second

    def _open_loop(self, asked: Sequence[bytes]) -> float:
        """The p99 in milliseconds at 50 a second, whatever became of those before."""
        return _good(drive(Plan(self._web, list(asked), CLIENTS, len(asked) / 50, rate=50))).p99

    def _sends(self, count: int | None = None) -> Sequence[bytes]:
        return requests.sends(self._web, self._population.agents, count or int(MOST * self._seconds))

    def _plain_sends(self) -> Sequence[bytes]:
        return requests.plain_sends(self._stage.plain, self._population.agents, int(MOST * self._seconds))

    def _callbacks(self, count: int) -> Sequence[bytes]:
        return requests.callbacks(self._web, self._population, count)

    def _captured_sends(self) -> tuple[Sequence[str], int]:
        # An agent's first send differs: it has no job waiting yet.
        _good(drive(Plan(self._web, list(self._sends(len(self._population.agents))), 1, 30)))
        return self._captured(self._sends(CAPTURED))

    def _captured(self, asked: Sequence[bytes]) -> tuple[Sequence[str], int]:
        """Scripts of what the server asks PostgreSQL for each request, and the number of statements."""
        known = captures.all_ids(self._stage)
        scripts = []
        for request in asked:
            statements = captures.capture(self._stage, lambda request=request: _one(self._web, request))
            scripts.append(captures.script(statements, known=known, key=requests.key_of(request)))
        return scripts, len(statements)

    def _run(self, statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)


def _pages(archive: Archive) -> Iterator[tuple[str, str, str, float]]:
    """Name, address, whose session, and how many milliseconds it may take at most (performance.md, row 10)."""
    threads, blocked, search = "/console/threads/", "/console/blocked/", "/console/search/"
    one = f"{threads}{archive.long.id}/"
    rule = f"identity={archive.busy.handle}"
    for who, session in (("operator", archive.operator), ("admin", archive.admin)):
        yield f"Threads, {who}", threads, session, 100
        yield f"Threads of one identity, {who}", f"{threads}?{rule}", session, 100
        yield f"Threads that wait, {who}", f"{threads}?view=waiting", session, 100
        yield f"Threads with failed sends, {who}", f"{threads}?view=failed", session, 100
        yield f"Thread of {LONG:,}, newest, {who}", one, session, 80
        yield f"Thread of {LONG:,}, its middle, {who}", f"{one}?start={LONG // 2}", session, 80
        yield f"Blocked to review, {who}", blocked, session, 100
        yield f"Blocked of one identity, {who}", f"{blocked}?{rule}", session, 100
        yield f"Blocked by sender, {who}", f"{blocked}?group=sender", session, 100
        yield f"Search, rare words, {who}", f"{search}?q=invoice777+hotel", session, 160
        yield f"Search, a common word, {who}", f"{search}?q=wonderful", session, 160
        yield f"Search, a number, {who}", f"{search}?q=(646)+000-1234", session, 160


def _one(port: int, request: bytes) -> None:
    _good(drive(Plan(port, [request], 1, 30)))


def _good(load: Load) -> Load:
    if load.bad:
        raise RuntimeError(f"{load.bad} requests failed: {load.first_bad}")
    return load
