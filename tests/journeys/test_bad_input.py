"""Every bad request of the table, on the running product: a 4xx that says what is wrong, and nothing left behind."""

import http.client
import json

import httpx
import pytest

from tests import bad_input
from tests.bad_input import Case
from tests.installation import Installation, waited
from tests.journeys.people import Human

# Jobs come and go by themselves; sessions belong to browsers.
NOT_COUNTED = ("procrastinate_", "django_session")


@pytest.fixture(scope="module")
def made(installation: Installation, admin_key: str) -> dict[str, str]:
    """What the good parts of the requests name: ours, and what belongs to another organization."""
    new = "from accounts.members import *; create_organization(Actor.system('test'), name='other')"
    installation.manage("shell", "-v", "0", "-c", new)
    ours = furnish(installation, admin_key, "helper")
    theirs = furnish(installation, installation.create_key(organization="other"), "stranger")
    return {
        **ours,
        "foreign_id": theirs["message_id"],
        **{
            f"foreign_{name}": theirs[name]
            for name in ("handle", "identity_id", "conversation_id", "message_id", "rule_id")
        },
    }


def test_every_bad_request_is_refused_and_leaves_nothing(
    installation: Installation, admin_key: str, made: dict[str, str]
) -> None:
    cases = [case for operation in bad_input.OPERATIONS for case in bad_input.cases(operation)]
    before = settled_row_counts(installation)
    connection = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=30)
    wrong = [found for case in cases if (found := problem(connection, admin_key, case, made))]
    print(f"{len(cases)} bad requests on {len(bad_input.OPERATIONS)} operations, {len(wrong)} answered wrongly")
    assert wrong == []
    assert row_counts(installation) == before
    assert "Traceback" not in installation.log_of("web")


def problem(connection: http.client.HTTPConnection, key: str, case: Case, made: dict[str, str]) -> str | None:
    """What is wrong with the answer to a bad request, or None."""
    path, query = bad_input.fill(case.path, made), bad_input.fill(case.query, made)
    body = bad_input.fill(case.body.decode("latin-1"), made).encode("latin-1")
    connection.request(
        case.method,
        f"{path}{'&' if '?' in path else '?'}{query}" if query else path,
        body,
        {"X-API-Key": key, "Content-Type": "application/json", **case.headers},
    )
    response = connection.getresponse()
    answer = response.read()
    if not 400 <= response.status < 500:
        return f"{case.name}: {response.status} {answer[:200]!r}"
    try:
        return None if json.loads(answer)["detail"] else f"{case.name}: {response.status}, an empty detail"
    except (ValueError, KeyError, TypeError):
        return f"{case.name}: {response.status}, no detail in {answer[:200]!r}"


def furnish(installation: Installation, key: str, handle: str) -> dict[str, str]:
    """An identity with a human's conversation, one message and one rule."""
    with httpx.Client(base_url=f"{installation.base_url}/api/v1", headers={"X-API-Key": key}) as client:
        identity = client.post("/identities/", json={"agent_handle": handle, "imessage_enabled": True}).json()
        human = Human(installation).connect(handle)
        human.write("hello")
        own = {"agent_identity_id": identity["id"]}
        [message] = waited(lambda: client.get("/imessage/messages", params=own).json(), what="the message")
        rule = client.post(
            f"/imessage/identities/{handle}/contact-rules", json={"action": "allow", "match_target": human.number}
        ).json()
    return {
        "handle": handle,
        "identity_id": identity["id"],
        "conversation_id": message["conversation_id"],
        "message_id": message["id"],
        "rule_id": rule["id"],
        "human": human.number,
    }


def settled_row_counts(installation: Installation) -> dict[str, int]:
    """The counts, once the reports of what was done before have all been applied."""
    unsettled = (
        "SELECT (SELECT count(*) FROM lines_callback WHERE state IN ('stored', 'waiting'))"
        " + (SELECT count(*) FROM imessage_routermessage WHERE direction = 'outbound' AND status <> 'delivered')"
    )
    waited(lambda: installation.sql(unsettled) == [(0,)], what="quiet")
    return row_counts(installation)


def row_counts(installation: Installation) -> dict[str, int]:
    """How many rows every table holds."""
    names = [name for (name,) in installation.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    tables = sorted(name for name in names if not name.startswith(NOT_COUNTED))
    return dict(installation.sql(" UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in tables)))  # noqa: S608
