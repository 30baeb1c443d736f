"""What was blocked and is released, with everything real: workers, a receiver, the vendor's own client."""

import time
from collections.abc import Iterator

import pytest

from tests.installation import Installation, waited
from tests.journeys.people import Human, Sdk
from tests.webhooks.endpoints import Endpoint, endpoint

pytestmark = pytest.mark.soak

HANDLE = "gatekeeper"

_DO = """
from core.actor import Actor
from imessage.models import Message, Release
from imessage.releasing import release, undo_release

actor = Actor.system("operator")
"""


@pytest.fixture
def told() -> Iterator[Endpoint]:
    with endpoint() as there:
        yield there


def test_released_texts_reach_the_agent_once_in_order_with_their_own_times(
    installation: Installation, admin_key: str, told: Endpoint
) -> None:
    """Acceptance 9, with the worker killed during the hold."""
    sdk = Sdk("0.7.20", base_url=installation.base_url, key=admin_key)
    try:
        identity = sdk.call("create_identity", HANDLE, imessage_enabled=True)
        subscribe(sdk, identity["id"], told.url)
        human = Human(installation).connect(HANDLE)
        human.write("hello")
        waited(lambda: told.requests, what="the first webhook")
        sdk.call("imessage_contact_rules.create", HANDLE, action="block", match_target=human.number)
        for text in ("one", "two", "three"):
            human.write(text)
        waited(lambda: len(blocked(installation, human)) == 3, what="three blocked texts")

        undone = ask(installation, "one")
        do(installation, f"undo_release(actor, Release.objects.get(pk={undone!r}))")
        ask(installation, "two", all_of_sender=True)
        worker = next(name for name in installation.state["pids"] if name.startswith("worker"))
        installation.wait_for_restart(worker, former=installation.kill(worker))
        assert len(told.requests) == 1

        waited(lambda: len({payload["id"] for payload in told.payloads}) == 4, within=40, what="the released texts")
        time.sleep(3)
        by_sequence = {payload["sequence"]: payload for payload in told.payloads}
        assert sorted(by_sequence) == [1, 2, 3, 4]
        released = [by_sequence[number] for number in (2, 3, 4)]
        assert [payload["data"]["message"]["content"] for payload in released] == ["one", "two", "three"]
        times = dict(installation.sql("SELECT text, created_at FROM imessage_message WHERE released_at IS NOT NULL"))
        for payload in released:
            shown = payload["data"]["message"]
            assert shown["created_at"] == times[shown["content"]].isoformat().replace("+00:00", "Z")
            assert payload["released"]["received_at"] == shown["created_at"]
        assert blocked(installation, human) == []
        states = installation.sql("SELECT state, count FROM imessage_release ORDER BY created_at")
        assert states == [("undone", 0), ("done", 3)]
        listed = sdk.call("imessages.list", agent_identity_id=identity["id"], is_blocked=False)
        assert [row["content"] for row in listed] == ["three", "two", "one", "hello"]
        assert [bubble["text"] for bubble in human.inbox()] == ["hello", "one", "two", "three"]
    finally:
        sdk.close()


def subscribe(sdk: Sdk, identity_id: str, url: str) -> None:
    kinds = ["imessage.received"]
    sdk.call("webhooks.subscriptions.create", agent_identity_id=identity_id, url=url, event_types=kinds)


def blocked(installation: Installation, human: Human) -> list[str]:
    query = "SELECT text FROM imessage_message WHERE is_blocked AND human = %s ORDER BY position"
    rows = installation.sql(query, human.number)
    return [text for (text,) in rows]


def ask(installation: Installation, text: str, *, all_of_sender: bool = False) -> str:
    """Request a release; its id."""
    message = f"Message.objects.blocked().get(text={text!r})"
    return do(installation, f"print(release(actor, {message}, all_of_sender={all_of_sender}).id)")


def do(installation: Installation, words: str) -> str:
    return installation.manage("shell", "-v", "0", "-c", _DO + words).strip()
