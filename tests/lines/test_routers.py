"""The router: which number is shown, what stands by, and the change from one to the other."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.errors import Forbidden
from lines.models import Callback, Dispatch, Line
from lines.routers import (
    NoStandby,
    StandbyUnproved,
    forecast_rotation,
    rotate_router,
    router_for_hints,
    shown_router,
    standby_router,
)
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def standby(router: Line) -> Line:
    return make.make_router("+15555550110")


def use(line: Line) -> None:
    """It has sent a text and heard one."""
    Dispatch.objects.create(
        kind="router", order_id=line.id, attempt=1, line=line, human=make.HUMAN, outcome="accepted", handle="h"
    )
    Callback.objects.create(
        account=line.account, event_key=str(line.id), thread=f"{line.address}/{make.HUMAN}", body=b"{}"
    )


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ({}, {}, "first"),
        ({"seen": "degraded"}, {}, "first"),
        ({"seen": "down"}, {}, "second"),
        ({"wanted": "paused"}, {}, "second"),
        ({"seen": "flagged"}, {"seen": "down"}, "first"),
        ({"seen": "down"}, {"seen": "unknown"}, "first"),
    ],
)
def test_the_standby_is_shown_while_the_router_cannot_send(
    first: dict[str, str], second: dict[str, str], shown: str, router: Line, standby: Line
) -> None:
    Line.objects.filter(pk=router.pk).update(**first)
    Line.objects.filter(pk=standby.pk).update(**second)
    assert shown_router() == {"first": router, "second": standby}[shown]


def test_a_standby_that_was_never_in_use_is_not_trusted_unasked(router: Line, standby: Line) -> None:
    assert forecast_rotation().problem == StandbyUnproved().message
    with pytest.raises(StandbyUnproved):
        rotate_router(make.operator())
    assert rotate_router(make.operator(), though_unproved=True) == standby


def test_rotating_shows_the_standby_and_rotating_again_undoes_it(router: Line, standby: Line) -> None:
    use(standby)
    use(router)
    assert (forecast_rotation().to, forecast_rotation().problem) == (standby, "")
    assert rotate_router(make.operator()) == shown_router() == standby
    assert standby_router() == router
    assert rotate_router(make.operator()) == shown_router() == router
    router.refresh_from_db()
    assert router.replaced_at is None


@pytest.mark.parametrize("fields", [{"seen": "down"}, {"wanted": "paused"}, {"wanted": "retired"}])
def test_only_a_healthy_one_in_service_takes_over(fields: dict[str, str], router: Line, standby: Line) -> None:
    use(standby)
    Line.objects.filter(pk=standby.pk).update(**fields)
    with pytest.raises(NoStandby):
        rotate_router(make.operator())
    assert forecast_rotation().problem == NoStandby().message


def test_a_router_that_is_down_is_what_rotation_is_for(router: Line, standby: Line) -> None:
    use(standby)
    Line.objects.filter(pk=router.pk).update(seen="down")
    assert rotate_router(make.operator()) == standby
    Line.objects.filter(pk=router.pk).update(seen="healthy")
    assert shown_router() == standby


def test_only_operators_rotate(router: Line, standby: Line, identity: Identity) -> None:
    with pytest.raises(Forbidden):
        rotate_router(make.admin_of(identity.organization))


def test_some_humans_keep_the_standby_warm_and_always_the_same(router: Line, standby: Line) -> None:
    humans = [f"+1555556{n:04}" for n in range(100)]
    sent = [router_for_hints(human) for human in humans]
    assert 3 <= sent.count(standby) <= 20
    assert sent == [router_for_hints(human) for human in humans]
    Line.objects.filter(pk=standby.pk).update(seen="down")
    assert {router_for_hints(human) for human in humans} == {router}


def test_a_rotation_long_ago_is_not_named_any_more(router: Line, standby: Line) -> None:
    now = timezone.now()
    assert forecast_rotation(now=now).names_the_new_until == now + timedelta(days=30)
