"""No request, however odd, gets anything but a 4xx that says what is wrong; and nothing is left behind."""

import json

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from imessage.models import Conversation
from tests import bad_input, make
from tests.api.conftest import Provider
from tests.bad_input import Case, Operation


@pytest.fixture
def made(open_conversation: Conversation, charlies_conversation: Conversation, provider: Provider) -> dict[str, str]:
    message = make.make_message(open_conversation, "react to me", provider_handle="handle-1")
    foreign = make.make_message(charlies_conversation, "not yours")
    identity, stranger = open_conversation.identity, charlies_conversation.identity
    return {
        "handle": identity.handle,
        "identity_id": str(identity.id),
        "conversation_id": str(open_conversation.id),
        "message_id": str(message.id),
        "rule_id": str(make.make_rule(identity, make.OTHER_HUMAN).id),
        "human": make.HUMAN,
        "foreign_id": str(foreign.id),
        "foreign_message_id": str(foreign.id),
        "foreign_handle": stranger.handle,
        "foreign_identity_id": str(stranger.id),
        "foreign_conversation_id": str(charlies_conversation.id),
        "foreign_rule_id": str(make.make_rule(stranger, make.OTHER_HUMAN).id),
    }


@pytest.mark.parametrize("operation", bad_input.OPERATIONS, ids=lambda operation: operation.name)
def test_every_bad_request_is_refused_and_leaves_nothing(
    operation: Operation, made: dict[str, str], admin_key: str
) -> None:
    client = Client(raise_request_exception=False)
    before = row_counts()
    wrong = [found for case in bad_input.cases(operation) if (found := problem(client, admin_key, case, made))]
    assert wrong == []
    assert row_counts() == before


def problem(client: Client, key: str, case: Case, made: dict[str, str]) -> str | None:
    """What is wrong with the answer to a bad request, or None."""
    path = bad_input.fill(case.path, made)
    query = bad_input.fill(case.query, made)
    response = client.generic(
        case.method,
        f"{path}{'&' if '?' in path else '?'}{query}" if query else path,
        bad_input.fill(case.body.decode("latin-1"), made).encode("latin-1"),
        content_type="application/json",
        headers={"X-API-Key": key, **case.headers},
    )
    if not 400 <= response.status_code < 500:
        return f"{case.name}: {response.status_code} {response.content[:200]!r}"
    detail = json.loads(response.content).get("detail")
    return None if detail else f"{case.name}: no detail in {response.content[:200]!r}"


def row_counts() -> dict[str, int]:
    """How many rows every table holds."""
    tables = sorted({model._meta.db_table for model in apps.get_models() if model._meta.managed})
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in tables))  # noqa: S608
        return dict(cursor.fetchall())
