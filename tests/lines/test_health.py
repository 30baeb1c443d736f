"""What is seen of a line and what is wanted of it."""

import pytest

from core.actor import Role
from core.errors import Busy, Forbidden, Invalid, Upstream
from events.models import Event
from lines import direct, health
from lines.direct import direct_call
from lines.health import seeing
from lines.models import Line, LineEvent
from lines.providers.base import ErrorClass, LineReading, ProviderCallFailed, ProviderError
from tests import make
from tests.providers.scripted import forget_jobs, waiting_jobs

pytestmark = pytest.mark.django_db


def test_a_change_is_kept_once_with_its_reasons(line: Line) -> None:
    for _ in range(2):
        health.see(line, seen="down", reasons=["signed_out"])
    assert LineEvent.objects.get().reason == "signed_out"
    assert Event.objects.filter(type="line.seen").count() == 1


def test_a_flagged_line_is_not_merely_down(line: Line) -> None:
    health.see(line, seen="flagged", reasons=[])
    assert health.see(line, seen="down", reasons=["line_offline"]).seen == "flagged"


def test_what_goes_down_again_at_once_waits_for_the_calm(line: Line) -> None:
    health.see(line, seen="degraded", reasons=["recovering"])
    line = health.see(line, seen="down", reasons=["line_offline"])
    assert line.seen_reasons == ["line_offline", "relapsed"]
    reading = LineReading(state="healthy", reachable=True)
    assert [seeing.take(line, reading).seen for _ in range(4)] == ["down"] * 4


@pytest.mark.parametrize("after", ["healthy", "degraded", "unknown"])
@pytest.mark.parametrize("before", ["down", "flagged"])
def test_a_line_that_comes_back_wakes_its_queues(before: str, after: str, line: Line) -> None:
    health.see(line, seen=before, reasons=[])
    assert waiting_jobs("imessage.wake_line") == []
    health.see(line, seen=after, reasons=[])
    assert [job["args"] for job in waiting_jobs("imessage.wake_line")] == [{"line_id": str(line.id)}]


def test_a_paused_line_that_comes_back_stays_held(line: Line) -> None:
    health.want(make.operator(), line, wanted="paused")
    health.see(line, seen="down", reasons=[])
    health.see(line, seen="healthy", reasons=[])
    assert waiting_jobs("imessage.wake_line") == []
    health.want(make.operator(), line, wanted="draining")
    assert len(waiting_jobs("imessage.wake_line")) == 1
    forget_jobs()


def test_only_operators_want_and_only_known_words(line: Line) -> None:
    with pytest.raises(Forbidden):
        health.want(make.admin_of(make.make_organization(), role=Role.ADMIN), line, wanted="paused")
    with pytest.raises(Invalid):
        health.want(make.operator(), line, wanted="asleep")


def test_a_provider_that_does_not_answer_five_times_is_down(line: Line) -> None:
    assert [health.probe(line).seen for _ in range(5)] == ["healthy", "healthy", "unknown", "unknown", "down"]


def test_two_direct_calls_per_line_and_half_the_threads_in_all(line: Line, settings: object) -> None:
    settings.WEB_THREADS = 6  # type: ignore[attr-defined]
    second = make.make_line()
    with direct_call(line), direct_call(line):
        with pytest.raises(Busy) as busy:
            direct_call(line).__enter__()
        assert busy.value.retry_after == 1
        with direct_call(second), pytest.raises(Busy):
            direct_call(make.make_line()).__enter__()
    assert direct._in_flight.total() == 0


@pytest.mark.parametrize("error", [None, ProviderError(ErrorClass.PERMANENT, "bad", "No such message.")])
def test_a_failed_direct_call_is_told_and_frees_its_place(line: Line, error: ProviderError | None) -> None:
    with pytest.raises(Upstream), direct_call(line):
        raise ProviderCallFailed(error)
    assert direct._in_flight.total() == 0


def test_a_held_line_takes_no_direct_call(line: Line) -> None:
    line.seen = Line.Seen.DOWN
    with pytest.raises(Upstream):
        direct_call(line).__enter__()
