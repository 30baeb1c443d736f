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


def shape_of_message(**facts: Any) -> dict[str, Any]:
    """A message as our canonical shape has it; by itself the agent's own text to one human."""
    nothing = dict.fromkeys(["send_style", "error", "was_downgraded", "sent_at", "delivered_at", "failed_at"])
    return {
        **nothing,
        "id": "m",
        "conversation_id": "c",
        "connection_id": "k",
        "direction": "outbound",
        "human": "+15555550123",
        "text": "hi",
        "message_type": "message",
        "service": "imessage",
        "media": [],
        "status": "queued",
        "is_read": False,
        "is_blocked": False,
        "tapbacks": [],
        "created_at": "then",
        "updated_at": "then",
        **facts,
    }


GROUP: dict[str, Any] = {"is_group": True, "connection_id": None, "participants": ["+15555550123", "+15555550124"]}


def test_a_text_in_a_group_names_its_sender_and_no_assignment() -> None:
    shown = inkbox.message(
        shape_of_message(**GROUP, direction="inbound", human="+15555550124", sender="+15555550124", status="received")
    )
    assert {name: shown[name] for name in ("assignment_id", "remote_number", "sender_number", "participants")} == {
        "assignment_id": None,
        "remote_number": None,
        "sender_number": "+15555550124",
        "participants": GROUP["participants"],
    }
    assert (shown["is_group"], shown["recipients"]) == (True, None)


def test_a_text_to_a_group_has_a_recipient_for_each_participant() -> None:
    shown = inkbox.message(shape_of_message(**GROUP, human="", sender=None))
    assert [recipient["remote_number"] for recipient in shown["recipients"]] == GROUP["participants"]
    assert (shown["sender_number"], shown["remote_number"]) == (None, None)


def test_what_was_frozen_before_there_were_groups_is_told_as_before() -> None:
    shown = inkbox.message(shape_of_message())
    assert (shown["assignment_id"], shown["remote_number"], shown["is_group"]) == ("k", "+15555550123", False)
    assert (shown["sender_number"], shown["participants"], shown["thread_id"]) == (None, None, None)


@pytest.mark.parametrize(
    ("unresolved", "words"),
    [
        (None, {"reply_to_message_id": None, "thread_id": None, "thread_root_message_id": None}),
        (False, {"reply_to_message_id": "p", "thread_id": "r", "thread_root_message_id": "r"}),
        (True, {"reply_to_message_id": None, "thread_id": None, "thread_root_message_id": None}),
    ],
)
def test_only_what_hangs_in_a_thread_is_a_reply(unresolved: bool | None, words: dict[str, str | None]) -> None:
    replied = {"reply_to": {"message_id": "p", "part_index": 0}, "thread_root_id": "r"}
    shown = inkbox.message(shape_of_message(**(replied if unresolved is not None else {}), reply_unresolved=unresolved))
    assert {name: shown[name] for name in words} == words


def test_the_agents_tapback_in_a_group_names_whose_message_it_is_on() -> None:
    tapback = dict.fromkeys(["id", "emoji", "part_index", "created_at"])
    own = {**tapback, "direction": "outbound", "kind": "love", "human": ""}
    shown = inkbox.message(shape_of_message(**GROUP, human="+15555550124", sender="+15555550124", tapbacks=[own]))
    assert [reaction["remote_number"] for reaction in shown["reactions"]] == ["+15555550124"]


@pytest.mark.parametrize("state", ["creating", "not_created", "ready"])
def test_a_group_says_how_far_its_making_is(state: str) -> None:
    facts = {"id": "c", "connection_status": None, "human": "", "created_at": "then", "updated_at": "then"}
    people = [{"human": human, "name": None} for human in GROUP["participants"]]
    shown = inkbox.conversation({**facts, **GROUP, "participants": people, "group_state": state})
    assert (shown["assignment_status"], shown["remote_number"], shown["group_creation_status"]) == (None, None, state)
    assert shown["participants"] == GROUP["participants"]
