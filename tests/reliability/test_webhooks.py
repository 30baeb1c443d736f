"""Webhooks while the worker is killed with -9, and while their signing key is replaced: nothing lost, nothing unsigned.

Everything is real: people text on the simulated network, the worker fans out and posts, a receiver on loopback keeps
what it was sent. A kill comes from within the receiver, so the request it answers is one whose outcome is never noted.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.installation import Installation, waited
from tests.journeys.people import Human
from tests.webhooks.endpoints import Endpoint, Request, endpoint

pytestmark = pytest.mark.soak

HUMANS = 3
TEXTS_EACH = 25
PAUSE = 0.1
KILL_AT = (10, 30, 50)  # the receiver's requests
PATIENCE = 150

_STATES = "SELECT state, count(*) FROM webhooks_delivery GROUP BY state"


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with Installation(prepared=True) as running:
        yield running


@pytest.fixture(scope="module")
def api(installation: Installation) -> httpx.Client:
    return httpx.Client(
        base_url=f"{installation.base_url}/api/v1",
        headers={"X-API-Key": installation.create_key()},
        trust_env=False,
        timeout=15,
    )


def test_a_killed_worker_loses_nothing_and_repeats_only_what_it_had_sent(
    installation: Installation, api: httpx.Client
) -> None:
    kills = iter(KILL_AT)
    lock = threading.Lock()
    due = next(kills)

    def answer(request: Request) -> int:
        nonlocal due
        with lock:
            if due and len(there.requests) >= due:
                installation.kill("worker")
                due = next(kills, 0)
        return 200

    with endpoint(answer) as there:
        people = _people(installation, api, "killed", there)
        with ThreadPoolExecutor(HUMANS) as hands:
            for job in [hands.submit(_write_numbers, human) for human in people]:
                job.result()
        # A claim whose worker died runs out after 45 s; only then is it known to have been posted.
        waited(
            lambda: _states(installation) == {"delivered": HUMANS * TEXTS_EACH},
            within=PATIENCE,
            what=lambda: f"every delivery to be settled: {_states(installation)}",
        )
    told: dict[str, set[tuple[int, str, str]]] = defaultdict(set)
    for payload in there.payloads:
        told[payload["data"]["message"]["remote_number"]].add((payload["sequence"], payload["id"], _text(payload)))
    repeated = len(there.requests) - HUMANS * TEXTS_EACH
    print(
        f"\n{len(there.requests)} requests for {HUMANS * TEXTS_EACH} texts, {repeated} repeated; {len(KILL_AT)} kills"
    )
    assert due == 0
    assert repeated > 0
    for human in people:
        # One number, one event, one text, however often it was posted.
        order, events, texts = zip(*sorted(told[human.number]), strict=True)
        assert list(order) == list(range(1, TEXTS_EACH + 1))
        assert len(set(events)) == TEXTS_EACH
        assert texts == tuple(str(number) for number in range(TEXTS_EACH))


def test_while_the_key_is_replaced_every_delivery_verifies_with_each_valid_secret(
    installation: Installation, api: httpx.Client
) -> None:
    with endpoint() as there:
        people = _people(installation, api, "signed", there)
        keys = [_new_key(api, "signed")]

        def write(human: Human) -> None:
            for _ in range(TEXTS_EACH):
                _write(human, f"{len(keys)}")

        with ThreadPoolExecutor(HUMANS) as hands:
            writing = [hands.submit(write, human) for human in people]
            for _ in range(2):
                time.sleep(TEXTS_EACH * PAUSE / 3)
                keys.append(_new_key(api, "signed"))
            for job in writing:
                job.result()
        waited(lambda: len(there.requests) >= HUMANS * TEXTS_EACH, within=PATIENCE, what="every text to be told")
    assert {_text(payload) for payload in there.payloads} == {"1", "2", "3"}
    for request in there.requests:
        # The text says how many keys there were when it was written; a claim made before a rotation knows no later one.
        known = keys[: int(_text(request.payload))]
        assert [_verifies(request, key) for key in known] == [True] * len(known)
        assert request.headers["x-inkbox-signature"].startswith("sha256=")


def _people(installation: Installation, api: httpx.Client, handle: str, there: Endpoint) -> list[Human]:
    """Humans connected to a new identity whose inbound texts are told to the endpoint, from now on."""
    identity = api.post("/identities", json={"agent_handle": handle, "imessage_enabled": True}).json()
    people = [Human(installation).connect(handle) for _ in range(HUMANS)]
    made = api.post(
        "/webhooks/subscriptions",
        json={"agent_identity_id": identity["id"], "url": there.url, "event_types": ["imessage.received"]},
    )
    assert made.status_code == 201, made.text
    return people


def _states(installation: Installation) -> dict[str, int]:
    return {str(state): int(count) for state, count in installation.sql(_STATES)}


def _write_numbers(human: Human) -> None:
    for number in range(TEXTS_EACH):
        _write(human, f"{number}")


def _write(human: Human, words: str) -> None:
    human.write(words)
    time.sleep(PAUSE)


def _new_key(api: httpx.Client, handle: str) -> str:
    answer = api.post(f"/identities/{handle}/signing-key")
    assert answer.is_success, answer.text
    return str(answer.json()["signing_key"])


def _text(payload: dict[str, object]) -> str:
    return str(payload["data"]["message"]["content"])  # type: ignore[index]


def _verifies(request: Request, key: str) -> bool:
    try:
        Webhook(key).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True
