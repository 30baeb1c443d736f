"""Owned numbers that several want at once: threads on a real PostgreSQL, all begun together."""

from typing import Any

import pytest

from accounts.models import Identity, Organization
from imessage import owning
from imessage.errors import ConnectionReleased, NoSender
from imessage.models import Connection, Message
from imessage.receiving import apply_callback
from imessage.sending import send_message
from lines.callbacks import store
from lines.claiming import InventoryPending, LineQuotaReached, claim_line
from lines.models import Callback, Line, ProviderAccount, Route
from tests import make
from tests.providers.scripted import text_event
from tests.racing import at_once, failures

pytestmark = pytest.mark.usefixtures("racing")


def test_a_number_is_claimed_once_and_no_quota_is_overdrawn(
    organization: Organization, other_organization: Organization, settings: Any
) -> None:
    settings.DEDICATED_LINES_PER_ORGANIZATION = 2
    for _ in range(3):
        make.make_line(kind=Line.Kind.DEDICATED)
    deeds: list[Any] = [
        lambda house=house: claim_line(make.admin_of(house), organization=house)
        for house in (organization, other_organization) * 3
    ]
    results = at_once(deeds)
    assert {type(failure) for failure in failures(results)} <= {InventoryPending, LineQuotaReached}
    claimed = [line.pk for line in results if isinstance(line, Line)]
    assert (len(claimed), len(set(claimed))) == (3, 3)
    assert Line.objects.filter(organization=organization).count() in {1, 2}


def test_a_number_is_attached_to_one_identity(identity: Identity) -> None:
    line = make.make_line(kind=Line.Kind.DEDICATED, organization=identity.organization)
    agents = [identity, *(make.make_identity(identity.organization) for _ in range(3))]
    admin = make.admin_of(identity.organization)
    deeds: list[Any] = [lambda agent=agent: owning.attach(admin, line, agent) for agent in agents]
    results = at_once(deeds)
    assert [type(failure) for failure in failures(results)] == [owning.NumberAttached] * 3
    assert Route.objects.live().filter(line=line).count() == 1


def test_a_number_is_detached_while_both_sides_write(identity: Identity, account: ProviderAccount) -> None:
    line = make.make_owned_line(identity, account=account)
    for n in range(3):
        store(account, text_event(line, f"in {n}"), polled=False)
    deeds: list[Any] = [lambda id=id: apply_callback(id) for id in Callback.objects.values_list("id", flat=True)]
    deeds += [
        lambda n=n: send_message(make.agent_of(identity), identity=identity, to=make.HUMAN, line=line, text=f"{n}")
        for n in range(3)
    ]
    deeds.append(lambda: owning.detach(make.admin_of(identity.organization), line))
    refused = failures(at_once(deeds))
    assert all(isinstance(one, NoSender | ConnectionReleased) for one in refused), refused
    assert not Connection.objects.filter(status=Connection.Status.ACTIVE).exists()
    assert not Route.objects.live().exists()
    assert Message.objects.filter(direction="outbound").count() == 3 - len(refused)
