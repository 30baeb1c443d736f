"""How often periodic tasks come: in a cron line with six fields the seconds stand last."""

import itertools
from datetime import UTC, datetime

import pytest
from procrastinate.contrib.django import app

NOON = datetime(2026, 11, 21, 12, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("task", "seconds"),
    [
        ("cordboard.rescue_stalled_jobs", 5),
        ("imessage.sweep", 5),
        ("lines.probe_troubled", 5),
        ("lines.poll_all", 15),
        ("lines.measure", 60),
        ("cordboard.forget_finished_jobs", 3600),
        ("api.forget_old_idempotency_keys", 3600),
    ],
)
def test_a_periodic_task_comes_every_so_many_seconds(task: str, seconds: int) -> None:
    [schedule] = {
        periodic.croniter for (name, _), periodic in app.periodic_registry.periodic_tasks.items() if name == task
    }
    times = [schedule.get_next(float, start_time=NOON)]
    times += [schedule.get_next(float) for _ in range(3)]
    assert [late - early for early, late in itertools.pairwise(times)] == [seconds] * 3
