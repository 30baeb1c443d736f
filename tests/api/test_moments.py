"""Date filters of messages and conversations."""

from datetime import UTC, datetime

import pytest

from imessage.models import Conversation
from tests import make
from tests.api.conftest import Api

NOON = datetime(2026, 6, 9, 12, tzinfo=UTC)


@pytest.fixture
def at_noon(conversation: Conversation) -> Conversation:
    make.make_message(conversation, "noon", created_at=NOON)
    Conversation.objects.update(created_at=NOON)
    return conversation


@pytest.mark.parametrize("path", ["messages", "conversations"])
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"start_datetime": "2026-06-09"}, True),
        ({"start_datetime": "2026-06-10"}, False),
        ({"end_datetime": "2026-06-09"}, True),
        ({"end_datetime": "2026-06-08"}, False),
        ({"start_datetime": "2026-06-09", "end_datetime": "2026-06-09"}, True),
        ({"start_datetime": "2026-06-09T12:00:00Z", "end_datetime": "2026-06-09T12:00:00Z"}, True),
        ({"start_datetime": "2026-06-09T12:00:00.000001Z"}, False),
        ({"end_datetime": "2026-06-09T11:59:59"}, False),
        ({"end_datetime": "2026-06-09T14:00:00", "tz": "Europe/Berlin"}, True),
        ({"end_datetime": "2026-06-09T13:59:59", "tz": "Europe/Berlin"}, False),
        ({"end_datetime": "2026-06-09T13:59:59+02:00", "tz": "Asia/Tokyo"}, False),
        ({"start_datetime": "2026-06-10", "tz": "Pacific/Kiritimati"}, True),
        ({"start_datetime": "2026-06-10T11:00:00+23:00"}, True),
    ],
)
def test_a_span_is_read_in_its_zone(
    agent: Api, at_noon: Conversation, path: str, query: dict[str, str], found: bool
) -> None:
    assert len(agent.get(f"/imessage/{path}", **query).json()) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_datetime", "yesterday"),
        ("start_datetime", ""),
        ("end_datetime", "2026-13-01"),
        ("end_datetime", "9999-12-31"),
        ("start_datetime", "0001-01-01T00:00:00+14:00"),
        ("start_datetime", "1\x00"),
        ("tz", "Mars/Phobos"),
        ("tz", "../../etc/passwd"),
        ("tz", ""),
        ("tz", "a" * 61),
    ],
)
def test_nonsense_is_explained(agent: Api, name: str, value: str) -> None:
    response = agent.get("/imessage/messages", **{name: value})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", name]
