"""How fast a line writes: every limit as a row, and what the rows of dispatches say of it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.errors import Invalid
from core.ids import uuid7
from lines import pacing, providers
from lines.models import Dispatch, Line
from lines.providers.base import UNLIMITED
from tests import make
from tests.providers.scripted import ScriptedDriver

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setitem(providers._DRIVERS, "scripted", ScriptedDriver())
    return make.make_line(account=make.make_account("scripted", provider="scripted"))


def sent(line: Line, *seconds_ago: float, human: str = make.HUMAN, **fields: Any) -> None:
    Dispatch.objects.bulk_create(
        Dispatch(
            kind="message",
            order_id=uuid7(),
            attempt=1,
            line=line,
            human=human,
            claimed_at=NOW - timedelta(seconds=ago),
            **{"outcome": "accepted", **fields},
        )
        for ago in seconds_ago
    )


def with_limits(line: Line, **limits: Any) -> Line:
    line.account.limits = limits
    return line


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


ROWS: list[tuple[dict[str, Any], list[float], str, dict[str, Any], tuple[str, float] | None]] = [
    ({"human_gap": 1}, [1.5], make.HUMAN, {}, None),
    ({"human_gap": 1}, [0.4], make.HUMAN, {}, ("pace_human", 0.6)),
    ({"human_gap": 1}, [0.4], make.OTHER_HUMAN, {}, None),
    ({"human_per_minute": 3}, [10, 20, 50], make.HUMAN, {}, ("pace_human", 10)),
    ({"human_per_minute": 3}, [10, 20, 61], make.HUMAN, {}, None),
    ({"line_per_second": 1, "line_burst": 5}, [1, 2, 3, 4], make.OTHER_HUMAN, {}, None),
    ({"line_per_second": 1, "line_burst": 5}, [1, 2, 3, 4, 4.5], make.OTHER_HUMAN, {}, ("pace_line", 0.5)),
    ({"account_calls": 2, "account_seconds": 10}, [1, 4], make.OTHER_HUMAN, {}, ("pace_account", 6)),
    ({"unanswered": 5}, [], make.HUMAN, {"unanswered": lambda: 4}, None),
]


@pytest.mark.parametrize(("limits", "ago", "human", "more", "held"), ROWS)
def test_each_limit(
    line: Line,
    limits: dict[str, Any],
    ago: list[float],
    human: str,
    more: dict[str, Any],
    held: tuple[str, float] | None,
) -> None:
    sent(line, *ago)
    hold = pacing.hold(with_limits(line, **limits), human, now=NOW, **more)
    assert hold == (pacing.Hold(held[0], after(held[1])) if held else None)


NEW: list[tuple[dict[str, Any], list[float], float | None]] = [
    ({"new_gap": 120}, [200], None),
    ({"new_gap": 120}, [30], 90),
    ({"new_per_hour": 3}, [60, 600, 3000], 600),
    ({"new_per_day": 2}, [3600, 7200], 86400 - 7200),
]


@pytest.mark.parametrize(("limits", "ago", "wait"), NEW)
def test_new_contacts_are_few_and_known_humans_are_not_counted(
    line: Line, limits: dict[str, Any], ago: list[float], wait: float | None
) -> None:
    with_limits(line, **limits)
    sent(line, *ago, first_contact=True)
    sent(line, 1, 2, 3, first_contact=True, outcome="refused")
    hold = pacing.hold(line, make.OTHER_HUMAN, now=NOW, first_contact=True)
    assert hold == (pacing.Hold("new_contacts", after(wait)) if wait else None)
    assert pacing.next_new_contact(line, now=NOW) == after(wait or 0)
    assert pacing.hold(line, make.OTHER_HUMAN, now=NOW) is None


def test_unanswered_texts_hold_the_next_until_the_human_writes(line: Line) -> None:
    hold = pacing.hold(with_limits(line, unanswered=5), make.HUMAN, now=NOW, unanswered=lambda: 5)
    assert hold == pacing.Hold("awaiting_reply", None)


@pytest.mark.parametrize(
    ("since", "share", "new"),
    [(timedelta(hours=1), 0.25, False), (timedelta(hours=30), 0.5, True), (timedelta(hours=49), 1.0, True)],
)
def test_after_a_flag_the_pace_rises_for_two_days(line: Line, since: timedelta, share: float, new: bool) -> None:
    line.ramp_since = NOW - since
    assert pacing.pace_of(line, now=NOW) == share
    hold = pacing.hold(line, make.HUMAN, now=NOW, first_contact=True)
    assert hold == (None if new else pacing.Hold("ramp", line.ramp_since + timedelta(days=1)))
    sent(line, 0.5)
    paced = pacing.hold(with_limits(line, human_gap=1), make.HUMAN, now=NOW)
    assert paced == pacing.Hold("pace_human", after(1 / share - 0.5))


def test_a_degraded_line_keeps_half_its_pace(line: Line) -> None:
    line.seen = Line.Seen.DEGRADED
    sent(line, 1.2)
    assert pacing.hold(with_limits(line, human_gap=1), make.HUMAN, now=NOW) == pacing.Hold("pace_human", after(0.8))


def test_a_full_hand_waits_for_a_call_to_end(line: Line) -> None:
    sent(line, 60, 90, outcome="in_flight")
    assert pacing.hold(with_limits(line, line_in_flight=3), make.HUMAN, now=NOW) is None
    assert pacing.hold(with_limits(line, line_in_flight=2), make.HUMAN, now=NOW) == pacing.Hold("pace_line", after(1))


def test_the_provider_s_own_patience_holds_the_line_or_the_account(line: Line) -> None:
    other = make.make_line(account=line.account)
    pacing.be_patient(line, until=after(60), whole_account=False)
    pacing.be_patient(line, until=after(30), whole_account=True)
    for one, wait in ((line, 60), (other, 30)):
        one.refresh_from_db()
        assert pacing.hold(one, make.HUMAN, now=NOW) == pacing.Hold("provider_pace", after(wait))


def test_the_line_s_own_settings_win_over_the_account_s_and_the_driver_s(line: Line) -> None:
    assert pacing.limits_of(line).new_per_day is None
    line.account.limits, line.limits = {"new_per_day": 40, "human_gap": 2}, {"new_per_day": 10, "strange": 1}
    assert (pacing.limits_of(line).new_per_day, pacing.limits_of(line).human_gap) == (10, 2)


@pytest.mark.parametrize("values", [{"strange": 1}, {"human_gap": 0}, {"human_gap": "1"}, {"unanswered": True}])
def test_an_impossible_setting_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        pacing.checked(values)


def test_every_limit_can_be_switched_off() -> None:
    assert pacing.checked(UNLIMITED) == UNLIMITED


def test_a_line_that_has_lost_its_helper_is_slower(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedDriver, "limits_without_helper", {"line_in_flight": 1})
    assert pacing.limits_of(line).line_in_flight is None
    line.lost_capabilities = ["tapback"]
    assert pacing.limits_of(line).line_in_flight == 1


@pytest.mark.parametrize(("ends", "wait"), [(60, 60), (None, 300), (-1, None)])
def test_the_provider_s_own_allowance_wins(line: Line, ends: float | None, wait: float | None) -> None:
    line.allowance, line.allowance_until = Line.Allowance.AT_CAP, None if ends is None else after(ends)
    hold = pacing.hold(line, make.HUMAN, now=NOW, first_contact=True)
    assert hold == (pacing.Hold("new_contacts", after(wait)) if wait else None)
    assert pacing.hold(line, make.HUMAN, now=NOW) is None
