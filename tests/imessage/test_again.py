"""Sending again what was left to a person's decision."""

import pytest

from core.errors import Forbidden
from imessage import connecting
from imessage.again import NotLeftOpen, send_again
from imessage.errors import ConnectionReleased
from imessage.models import Conversation, Message
from imessage.sending import send_message
from tests import make
from tests.providers.scripted import ScriptedDriver, accepted, drain_now, let_time_pass, run_jobs, unknown

pytestmark = pytest.mark.django_db


@pytest.fixture
def left(written: Conversation, driver: ScriptedDriver) -> Message:
    """A message that was tried twice, lost twice and never found."""
    driver.answers, driver.looked_up = [unknown(), unknown()], [None] * 6
    message = send_message(make.agent_of(written.identity), conversation=written, text="did it leave?")
    for _ in range(8):
        drain_now(written)
        let_time_pass()
    message.refresh_from_db()
    assert (message.status, message.error_reason, len(driver.sent)) == ("error", "outcome_unknown", 2)
    return message


def test_it_leaves_once_more_and_says_who_sent_it(left: Message, driver: ScriptedDriver) -> None:
    driver.answers = [accepted("third")]
    send_again(make.admin_of(left.identity.organization), left)
    run_jobs()
    left.refresh_from_db()
    assert (left.status, left.error_reason, left.provider_handle) == ("sent", "", "third")
    assert [order.key for order in driver.sent] == [str(left.id)] * 3
    assert "Sent again by tests." in [step.detail for step in left.delivery_steps.all()]


def test_lost_again_it_is_left_to_a_person_again(left: Message, driver: ScriptedDriver, written: Conversation) -> None:
    driver.answers, driver.looked_up = [unknown()], [None] * 3
    send_again(make.admin_of(left.identity.organization), left)
    for _ in range(6):
        drain_now(written)
        let_time_pass()
    left.refresh_from_db()
    assert (left.status, left.error_reason, len(driver.sent)) == ("error", "outcome_unknown", 3)


def test_an_agent_may_not_and_only_what_was_left_open_can(left: Message, driver: ScriptedDriver) -> None:
    with pytest.raises(Forbidden):
        send_again(make.agent_of(left.identity), left)
    admin = make.admin_of(left.identity.organization)
    send_again(admin, left)
    with pytest.raises(NotLeftOpen):
        send_again(admin, left)


def test_nothing_goes_to_who_has_disconnected(left: Message) -> None:
    admin = make.admin_of(left.identity.organization)
    connecting.release(admin, left.connection)
    with pytest.raises(ConnectionReleased):
        send_again(admin, left)
