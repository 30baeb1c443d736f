"""Numbers of an identity's own: attached, detached, given back."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.errors import Forbidden, NotFound
from events.models import Event
from imessage import owning
from imessage.connecting import delete_identity
from imessage.errors import ConnectionReleased
from imessage.models import Connection, Conversation, Message
from imessage.receipts import check_reachable
from imessage.sending import send_message
from lines.claiming import LineReleased
from lines.models import Line, ProviderAccount, Route
from tests import make
from tests.providers.scripted import drain_now

pytestmark = pytest.mark.django_db


@pytest.fixture
def number(identity: Identity) -> Line:
    """Alice's organization's, attached to nobody."""
    return make.make_line(kind=Line.Kind.DEDICATED, organization=identity.organization)


@pytest.fixture
def talk(identity: Identity) -> Conversation:
    """A human's thread on a number of the identity's own."""
    return make.make_owned_conversation(make.make_owned_line(identity))


def told() -> list[str]:
    return list(Event.objects.filter(type__startswith="line.").order_by("number").values_list("type", flat=True))


def test_a_number_is_attached_once_to_one_identity(number: Line, identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    for _ in range(2):
        owning.attach(admin, number, identity)
    assert told() == ["line.attached"]
    with pytest.raises(owning.NumberAttached) as refused:
        owning.attach(admin, number, make.make_identity(identity.organization))
    assert refused.value.fields == {"identity_id": str(identity.id)}


def test_numbers_stand_in_the_order_in_which_they_were_attached(number: Line, identity: Identity) -> None:
    admin, other = make.admin_of(identity.organization), make.make_owned_line(identity)
    for deed in (owning.detach, lambda actor, line: owning.attach(actor, line, identity)):
        deed(admin, other)
        owning.attach(admin, number, identity)
    lines = Route.objects.live().filter(identity=identity, human="*").order_by("created_at")
    assert [route.line for route in lines] == [number, other]


def test_strangers_and_bound_keys_attach_nothing(number: Line, identity: Identity, charlies_identity: Identity) -> None:
    for actor, agent, refusal in (
        (make.admin_of(charlies_identity.organization), charlies_identity, NotFound),
        (make.admin_of(identity.organization), charlies_identity, NotFound),
        (make.agent_of(identity), identity, Forbidden),
    ):
        with pytest.raises(refusal):
            owning.attach(actor, number, agent)


def test_detaching_ends_what_was_said_over_it_and_nothing_else(talk: Conversation, identity: Identity) -> None:
    pool = make.make_connection(identity)
    group = make.make_group(talk.line)
    owning.detach(make.admin_of(identity.organization), talk.line)
    ended = Connection.objects.get(status=Connection.Status.RELEASED)
    assert (ended, ended.released_by) == (talk.connection, "line")
    event = Event.objects.get(type="connection.released")
    assert (event.conversation_id, event.data["by"]) == (talk.id, "line")
    assert told() == ["line.detached"]
    assert Route.objects.live().get().human == pool.human
    with pytest.raises(ConnectionReleased):
        check_reachable(Conversation.objects.get(pk=group.pk))


def test_a_number_of_nobodys_is_detached_in_vain(number: Line, identity: Identity) -> None:
    owning.detach(make.admin_of(identity.organization), number)
    assert told() == []


def test_a_released_number_is_gone_and_its_history_stays(talk: Conversation, identity: Identity) -> None:
    admin, line = make.admin_of(identity.organization), talk.line
    owning.release(admin, line)
    assert told() == ["line.detached", "line.released"]
    assert (Line.objects.visible_to(admin).count(), Line.objects.ever_of(admin).count()) == (0, 1)
    assert Conversation.objects.visible_to(make.agent_of(identity)).get() == talk
    for deed in (owning.release, owning.detach, lambda actor, line: owning.attach(actor, line, identity)):
        with pytest.raises(LineReleased):
            deed(admin, line)


def test_numbers_whose_time_is_over_are_given_back(talk: Conversation, identity: Identity, number: Line) -> None:
    now = timezone.now()
    Line.objects.filter(pk=talk.line.pk).update(expires_at=now)
    Line.objects.filter(pk=number.pk).update(expires_at=now + timedelta(hours=1))
    assert owning.release_expired(now=now) == 1
    assert [line.released_at is None for line in (Line.objects.get(pk=talk.line.pk), number)] == [False, True]


def test_a_deleted_identity_leaves_its_numbers_to_its_organization(talk: Conversation, identity: Identity) -> None:
    delete_identity(make.admin_of(identity.organization), identity)
    assert not Route.objects.live().exists()
    assert Line.objects.visible_to(make.admin_of(identity.organization)).get() == talk.line


def test_attached_again_an_identity_goes_on_where_it_was(talk: Conversation, identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    for deed in (owning.detach, lambda actor, line: owning.attach(actor, line, identity)):
        deed(admin, talk.line)
    assert check_reachable(Conversation.objects.get(pk=talk.pk)).allowed
    assert Event.objects.get(type="connection.created").conversation_id == talk.id
    then, now = Connection.objects.order_by("created_at")
    assert (then.status, now.status) == ("released", "active")


def test_what_waited_for_a_detached_number_does_not_leave(identity: Identity, account: ProviderAccount) -> None:
    line = make.make_owned_line(identity, account=account)
    threads = [make.make_owned_conversation(line), make.make_group(line)]
    for thread in threads:
        send_message(make.admin_of(identity.organization), conversation=thread, text="too late")
    owning.detach(make.admin_of(identity.organization), line)
    for thread in threads:
        drain_now(thread)
    assert [(one.status, one.error_reason) for one in Message.objects.all()] == [
        ("declined", "connection_released")
    ] * 2
