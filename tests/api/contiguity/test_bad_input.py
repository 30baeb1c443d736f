"""No request, however odd, gets anything but a 4xx in the dialect's envelope; and nothing is left behind."""

import json

import pytest
from django.test import Client

from core.ids import prefixed
from imessage.models import Conversation
from lines.models import Line
from tests import bad_input, make
from tests.api.conftest import Provider
from tests.api.test_bad_input import row_counts
from tests.bad_input import PATH_PARTS, Case, Operation

_PAIR = {"to": "<human>", "from": "<number>"}
_NUMBERS = {"to": "phone", "from": "phone"}

OPERATIONS = [
    Operation(
        "send",
        "POST",
        "/send/imessage",
        {**_PAIR, "message": "hi"},
        {**_NUMBERS, "message": "text", "attachments": "urls", "fast_track": "bool", "fallback_number": "phone"},
        required=("to", "message"),
    ),
    Operation(
        "type",
        "POST",
        "/imessage/typing",
        {**_PAIR, "action": "start"},
        {**_NUMBERS, "action": "word"},
        required=("to", "action"),
    ),
    Operation(
        "react",
        "POST",
        "/send/imessage/reactions",
        {**_PAIR, "action": "add", "tapback": "like", "message": "react to me"},
        {**_NUMBERS, "action": "word", "tapback": "word", "message": "text", "message_id": "id"},
        required=("to", "action", "tapback", "message"),
    ),
    Operation("configure", "POST", "/numbers/<own>/configure", {"failover": None}, {"failover": "name"}),
    Operation("tracked", "GET", "/conversations/history/message/<message>", query={"tracking": "bool"}),
]

PLACES = [
    ("GET", "/conversations/history/message/{}"),
    ("GET", "/conversations/history/imessage/<human>/<number>/{}"),
    ("GET", "/conversations/history/imessage/<human>/{}/20"),
    ("GET", "/conversations/history/text/{}/<number>/20"),
    ("GET", "/conversations/availability/imessage/{}"),
    ("POST", "/history//imessage/{}/<number>/20"),
    ("GET", "/numbers/{}"),
    ("GET", "/numbers/leased/{}"),
    ("DELETE", "/leased/{}"),
    ("POST", "/lease/{}"),
    ("POST", "/numbers/{}/configure"),
]

# Values that a field may well have.
GOOD = {"send: attachments=['https://example.com/a', 'https://examp", "send: fast_track=None", "react: message_id=''"}


@pytest.fixture
def made(open_conversation: Conversation, provider: Provider) -> dict[str, str]:
    message = make.make_message(open_conversation, "react to me", provider_handle="handle-1")
    number = make.make_owned_line(open_conversation.identity)
    make.make_owned_line(open_conversation.identity, service=Line.Service.SMS)
    return {
        "human": make.HUMAN,
        "number": open_conversation.line.address,
        "own": number.address,
        "message": prefixed("imsg", message.id),
        "foreign_id": str(number.id),
    }


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_bad_request_is_refused_and_leaves_nothing(
    operation: Operation, made: dict[str, str], admin_key: str
) -> None:
    before = row_counts()
    cases = [case for case in bad_input.cases(operation) if case.name not in GOOD and not case.headers]
    assert [found for case in cases if (found := problem(admin_key, case, made))] == []
    assert row_counts() == before


@pytest.mark.parametrize(("method", "path"), PLACES)
def test_every_bad_path_is_refused_and_leaves_nothing(
    method: str, path: str, made: dict[str, str], admin_key: str
) -> None:
    before = row_counts()
    cases = [Case(f"{path}: {part:.40}", method, path.format(part), body=b"{}") for part in PATH_PARTS]
    assert [found for case in cases if (found := problem(admin_key, case, made))] == []
    assert row_counts() == before


def problem(key: str, case: Case, made: dict[str, str]) -> str | None:
    """What is wrong with the answer to a bad request, or None."""
    path, query = bad_input.fill(case.path, made), bad_input.fill(case.query, made)
    response = Client(raise_request_exception=False).generic(
        case.method,
        f"{path}?{query}" if query else path,
        bad_input.fill(case.body.decode("latin-1"), made).encode("latin-1"),
        content_type="application/json",
        headers={"Authorization": f"Token {key}"},
    )
    said = f"{case.name}: {response.status_code} {response.content[:200]!r}"
    if not 400 <= response.status_code < 500:
        return said
    data = json.loads(response.content)["data"]
    return None if data["error"] and data["status"] == response.status_code and "metadata" in data else said
