"""Jobs: every name resolves, dead workers' jobs go on, and one real worker does it all."""

import asyncio
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from procrastinate import exceptions, jobs
from procrastinate.contrib.django import app

from cordboard.jobs import rescue_stalled_jobs
from core.wake import wake
from lines.callbacks import store
from lines.models import Callback
from tests import make
from tests.providers.scripted import forget_jobs, text_event

ROOT = Path(__file__).parents[2]
APPS = ["core", "accounts", "events", "lines", "contactrules", "imessage", "api", "console", "cordboard"]


def test_every_task_that_is_named_is_registered() -> None:
    for name in ["cordboard.jobs", "imessage.jobs", "lines.jobs", "api.jobs"]:
        importlib.import_module(name)
    named = {
        name
        for folder in APPS
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(
            r"""(?:\b(?:wake|configure_task|Job)\(\s*|'default', )["']([\w.]+)["']""", file.read_text()
        )
    }
    assert {"imessage.drain", "imessage.drain_router", "imessage.receive", "imessage.wake_line"} <= named
    assert named <= set(app.tasks)


def test_a_task_with_a_queueing_lock_never_retries() -> None:
    """Its retry would collide with its waiting twin and hold the lock for ever (stack.md, section 2)."""
    tasks = {name: task for name, task in app.tasks.items() if name.split(".")[0] in APPS}
    assert {name for name, task in tasks.items() if task.retry_strategy} == set()


def test_periodic_tasks_do_not_pile_up() -> None:
    periodic = [entry.task for entry in app.periodic_registry.periodic_tasks.values()]
    ours = [task for task in periodic if task.name.split(".")[0] in APPS]
    assert len(ours) >= 6
    assert {task.name for task in ours if not task.queueing_lock} == set()


class _Manager:
    """The queue's job manager with one stalled job, whose twin may wait."""

    def __init__(self, fails: Exception | None) -> None:
        self.fails, self.done = fails, list[str]()

    async def get_stalled_jobs(self, **asked: Any) -> list[jobs.Job]:
        return [jobs.Job(id=1, queue="q", lock="l", queueing_lock="l", task_name="t", task_kwargs={})]

    async def retry_job(self, job: jobs.Job) -> None:
        if self.fails:
            raise self.fails
        self.done.append("retried")

    async def finish_job(self, job: jobs.Job, **how: Any) -> None:
        self.done.append("finished")


class _Context:
    def __init__(self, manager: _Manager) -> None:
        self.app = self
        self.job_manager = manager


TWIN = exceptions.UniqueViolation(constraint_name="x", queueing_lock="l")


@pytest.mark.parametrize(("fails", "done"), [(None, ["retried"]), (TWIN, ["finished"])])
def test_a_stalled_job_is_retried_or_left_to_its_twin(fails: Exception | None, done: list[str]) -> None:
    manager = _Manager(fails)
    asyncio.run(rescue_stalled_jobs.func(_Context(manager), 0))
    assert manager.done == done


def test_a_lost_database_does_not_end_a_stalled_job() -> None:
    manager = _Manager(exceptions.ConnectorException())
    with pytest.raises(exceptions.ConnectorException):
        asyncio.run(rescue_stalled_jobs.func(_Context(manager), 0))
    assert manager.done == []


@pytest.fixture
def worker(transactional_db: None, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts `manage.py worker` on this test's database."""
    forget_jobs()
    started: list[subprocess.Popen[bytes]] = []
    name = str(connection.settings_dict["NAME"])
    environment = {
        **os.environ,
        "DATABASE_URL": urlsplit(settings.DATABASE_URL)._replace(path=f"/{name}").geturl(),
        "CORDBOARD_SECRET_KEY": settings.SECRET_KEY,
        "CORDBOARD_DATA": str(tmp_path),
    }

    def start() -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen([sys.executable, "manage.py", "worker", "--slot", "1"], cwd=ROOT, env=environment)
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(20)
    forget_jobs()


def eventually(condition: Callable[[], Any], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.05)


def sql(statement: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def test_a_real_worker_does_what_waits_and_what_the_dead_left(
    worker: Callable[[], subprocess.Popen[bytes]],
) -> None:
    """One start, for it is the slow part: locked jobs, a dead worker's job, and one whose twin waits."""
    line = make.make_line("+15555550101", seen="down")
    make.make_conversation(connection=make.make_connection(line=line))
    for n in range(10):
        store(line.account, text_event(line, str(n)), polled=False)
    dead = sql("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour') RETURNING id")
    for lock in ("left alone", "has a twin"):
        wake("imessage.wake_line", lock=lock, once=lock, line_id=str(line.id))
        sql("UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE lock = %s", dead[0][0], lock)
    wake("imessage.wake_line", lock="has a twin", once="has a twin", line_id=str(line.id))

    process = worker()

    eventually(lambda: Callback.objects.filter(state="applied").count() == 10)
    times = Callback.objects.order_by("id").values_list("applied_at", flat=True)
    assert list(times) == sorted(times)
    # Ten jobs on one lock at one poll each would take 5 s.
    assert (times[9] - times[0]).total_seconds() < 3
    eventually(
        lambda: (
            not sql(
                "SELECT 1 FROM procrastinate_jobs WHERE task_name = 'imessage.wake_line' AND"
                " status IN ('todo', 'doing')"
            )
        )
    )
    left = sql("SELECT lock, status::text FROM procrastinate_jobs WHERE task_name = 'imessage.wake_line'")
    assert left == [("has a twin", "failed")]
    process.terminate()
    assert process.wait(20) == 0


def test_a_killed_worker_s_successor_in_the_same_place_goes_on(
    worker: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    line = make.make_line("+15555550101", seen="down")
    first = worker()
    id_file = tmp_path / "worker-1.id"
    eventually(lambda: id_file.is_file() and id_file.read_text())
    first.kill()
    first.wait(10)
    wake("imessage.wake_line", lock="held", once="held", line_id=str(line.id))
    sql("UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE lock = 'held'", int(id_file.read_text()))
    began = time.monotonic()
    worker()
    eventually(lambda: not sql("SELECT 1 FROM procrastinate_jobs WHERE lock = 'held'"))
    # Its heartbeat would have been waited out for 20 s.
    assert time.monotonic() - began < 15
