"""The closed vocabularies of Inkbox's clients: they fail on any other word."""

from typing import Any

import pytest

from accounts.models import Identity
from dialects import inkbox
from imessage.models import Connection, Direction, Message, SendStyle, Service, TapbackKind


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Direction.values, inkbox.DIRECTIONS),
        (Service.values, inkbox.SERVICES),
        (Message.Type.values, inkbox.MESSAGE_TYPES),
        (Message.Status.values, inkbox.STATUSES),
        (SendStyle.values, inkbox.SEND_STYLES),
        (Connection.Status.values, inkbox.ASSIGNMENT_STATUSES),
        (Identity.FilterMode.values, inkbox.FILTER_MODES),
    ],
)
def test_every_word_of_ours_is_one_of_theirs(ours: list[str], theirs: frozenset[str]) -> None:
    assert set(ours) <= theirs


@pytest.mark.parametrize("kind", [*TapbackKind.values, "eyes"])
def test_a_tapback_is_one_of_six_or_custom(kind: str) -> None:
    shape = {
        "id": "1",
        "conversation_id": "2",
        "connection_id": "3",
        "message_id": "4",
        "direction": "inbound",
        "kind": kind,
        "emoji": "👀",
        "human": "+15555550123",
        "part_index": 0,
        "created_at": "then",
        "updated_at": "then",
    }
    shown = inkbox.reaction(shape)
    assert shown["reaction"] in inkbox.REACTIONS | {"custom"}
    assert shown["custom_emoji"] == ("👀" if shown["reaction"] == "custom" else None)


@pytest.mark.parametrize(
    ("code", "facts", "detail"),
    [
        ("not_found", {}, "Said."),
        ("handle_unavailable", {}, {"error": "agent_handle_unavailable", "message": "Said."}),
        ("not_e164", {}, {"error": "recipient_not_e164", "message": "Said."}),
        ("duplicate_rule", {"existing_rule_id": 7}, {"existing_rule_id": "7", "message": "Said."}),
        (
            "recipient_blocked",
            {"matched_rule_id": None, "address": "+15555550123", "reason": "Whitelist."},
            {
                "error": "recipient_blocked",
                "message": "Said.",
                "matched_rule_id": None,
                "address": "+15555550123",
                "reason": "Whitelist.",
            },
        ),
    ],
)
def test_errors_that_clients_tell_apart_are_objects(code: str, facts: dict[str, Any], detail: object) -> None:
    assert inkbox.error_detail(code, "Said.", facts) == detail
