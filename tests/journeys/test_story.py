"""A human and an agent's program meet, talk, react, part and meet again: told with both of Inkbox's clients."""

import json
import subprocess
import time

import pytest

from tests.installation import CHECKOUT, PYTHON, Installation, waited
from tests.journeys.conftest import Team
from tests.journeys.people import ROUTER, Agent, Human, Sdk
from tests.webhooks.endpoints import Request, endpoint

_VERIFY = """
import json, sys
from inkbox.signing_keys import verify_webhook
given = json.load(sys.stdin)
print(verify_webhook(payload=given["body"].encode(), headers=given["headers"], secret=given["key"]))
"""


def test_the_client_knows_who_it_is_and_which_agent_it_has(team: Team) -> None:
    assert team.admin.sdk.call("whoami")["auth_subtype"] == "api_key.admin_scoped"
    assert team.agent.sdk.call("whoami")["auth_subtype"] == "api_key.agent_scoped.claimed"
    assert [found["agent_handle"] for found in team.agent.sdk.call("list_identities")] == [team.handle]
    assert team.agent.call("refresh") | {"id": ""} == {
        "id": "",
        "agent_handle": team.handle,
        "display_name": f"Agent {team.version}",
        "imessage_enabled": True,
        "imessage_filter_mode": "blacklist",
    }
    router = team.agent.sdk.call("imessages.get_triage_number")
    assert (router["number"], router["connect_command"]) == (ROUTER, f"connect @{team.handle}")


def test_a_human_connects_by_the_phone_command(installation: Installation, team: Team, human: Human) -> None:
    said = installation.phone(human.number, "text", f"Connect {team.handle}", "--wait", "2")
    assert [news["bubble"]["text"].split(".")[0] for news in said["received"]] == [
        f"You are connected to Agent {team.version.split('.')[0]}"
    ]
    assignment = team.agent.assignment(human)
    assert assignment
    assert (assignment["status"], assignment["released_at"]) == ("active", None)
    installation.phone(human.number, "text", "--to", f"@{team.handle}", "hello")
    waited(lambda: team.agent.summary(human), what="the conversation")


def test_the_humans_texts_are_listed(team: Team, guest: Human, conversation: str) -> None:
    guest.write("are you there? \U0001f642")
    waited(lambda: len(team.agent.messages(conversation)) == 2, what="the second text")
    second = team.agent.messages(conversation)[-1]
    assert {
        name: second[name] for name in ("direction", "remote_number", "content", "service", "status", "is_read")
    } == {
        "direction": "inbound",
        "remote_number": guest.number,
        "content": "are you there? \U0001f642",
        "service": "imessage",
        "status": "received",
        "is_read": False,
    }
    summary = team.agent.summary(guest)
    assert summary
    assert {name: summary[name] for name in ("latest_text", "latest_direction", "unread_count", "total_count")} == {
        "latest_text": "are you there? \U0001f642",
        "latest_direction": "inbound",
        "unread_count": 2,
        "total_count": 2,
    }
    assert team.agent.call("get_imessage_conversation", conversation)["id"] == conversation


@pytest.mark.parametrize("by", ["conversation", "number"])
def test_a_reply_reaches_the_handset_once(team: Team, guest: Human, conversation: str, by: str) -> None:
    where = {"conversation_id": conversation} if by == "conversation" else {"to": guest.number}
    sent = team.agent.send("an answer", **where)
    assert (sent["status"], sent["conversation_id"], sent["direction"]) == ("queued", conversation, "outbound")
    waited(lambda: team.agent.message(sent["id"], conversation)["status"] == "delivered", what="the report of delivery")
    assert guest.wait_for_bubble("an answer")["from"] == guest.line
    assert [bubble["text"] for bubble in guest.inbox()] == ["hello", "an answer"]
    assert team.agent.message(sent["id"], conversation)["recipients"][0]["delivered_at"]


def test_replies_keep_their_order(team: Team, guest: Human, conversation: str) -> None:
    words = [f"reply {number}" for number in range(8)]
    for text in words:
        team.agent.send(text, conversation_id=conversation)
    guest.wait_for_bubble(words[-1])
    assert [bubble["text"] for bubble in guest.inbox()] == ["hello", *words]
    assert team.agent.texts(conversation) == ["hello", *words]


def test_the_humans_tapback_is_shown_replaced_and_gone(team: Team, guest: Human, conversation: str) -> None:
    sent = team.agent.send("do you like it?", conversation_id=conversation)
    guest.wait_for_bubble("do you like it?")

    def shown() -> list[tuple[str, str, str | None]]:
        live = team.agent.message(sent["id"], conversation)["reactions"] or []
        return [(tapback["direction"], tapback["reaction"], tapback["custom_emoji"]) for tapback in live]

    guest.react("love")
    waited(lambda: shown() == [("inbound", "love", None)], what="the heart")
    guest.react("laugh")
    waited(lambda: shown() == [("inbound", "laugh", None)], what="the laugh in its place")
    guest.react("emoji", emoji="\U0001f951")
    waited(lambda: shown() == [("inbound", "custom", "\U0001f951")], what="the custom emoji in its place")
    guest.react("emoji", emoji="\U0001f951", remove=True)
    waited(lambda: shown() == [], what="no tapback")


def test_the_agents_tapback_is_on_the_handset_and_replaced(team: Team, guest: Human, conversation: str) -> None:
    hello = team.agent.messages(conversation)[0]["id"]
    first = team.agent.call("send_imessage_reaction", message_id=hello, reaction="like")
    assert (first["direction"], first["reaction"], first["remote_number"]) == ("outbound", "like", guest.number)
    guest.wait_for_news(type="tapback", action="add", kind="like")
    second = team.agent.call("send_imessage_reaction", message_id=hello, reaction="question")
    assert second["id"] != first["id"]
    assert [tapback["kind"] for tapback in guest.inbox()[0]["tapbacks"]] == ["question"]
    assert [found["id"] for found in team.agent.message(hello, conversation)["reactions"]] == [second["id"]]


def test_the_handset_sees_typing_and_the_read_receipt(team: Team, guest: Human, conversation: str) -> None:
    team.agent.call("send_imessage_typing", conversation)
    guest.wait_for_news(type="typing", on=True)
    assert team.agent.call("mark_imessage_conversation_read", conversation)["updated_count"] == 1
    guest.wait_for_news(type="read")
    assert guest.inbox()[0]["read_at"]
    assert team.agent.call("mark_imessage_conversation_read", conversation)["updated_count"] == 0
    summary = team.agent.summary(guest)
    assert summary
    assert summary["unread_count"] == 0
    assert [message["is_read"] for message in team.agent.messages(conversation)] == [True]


def test_a_stranger_cannot_be_written_to(team: Team, human: Human) -> None:
    refused = team.agent.refusal("send_imessage", to=human.number, text="buy!")
    assert refused.status == 404
    assert f"connect @{team.handle}" in str(refused.detail)
    assert ROUTER in str(refused.detail)


def test_a_human_who_has_not_written_yet_cannot_be_written_to(team: Team, guest: Human) -> None:
    assert team.agent.refusal("send_imessage", to=guest.number, text="buy!").status == 409
    assert guest.inbox() == []


def test_after_disconnect_nothing_passes(team: Team, guest: Human, conversation: str) -> None:
    hello = team.agent.messages(conversation)[0]["id"]
    assert guest.tell_router(f"disconnect @{team.handle}").startswith("You are disconnected")
    refusals = [
        team.agent.refusal("send_imessage", conversation_id=conversation, text="wait"),
        team.agent.refusal("send_imessage", to=guest.number, text="wait"),
        team.agent.refusal("send_imessage_reaction", message_id=hello, reaction="love"),
        team.agent.refusal("mark_imessage_conversation_read", conversation),
        team.agent.refusal("send_imessage_typing", conversation),
    ]
    assert [refused.status for refused in refusals] == [409] * 5
    assert team.agent.assignment(guest) is None
    summary = team.agent.summary(guest)
    assert summary
    assert summary["assignment_status"] == "released"
    guest.write("still there?")
    assert "no conversation with you" in waited(lambda: guest.inbox()[2:], what="a hint")[0]["text"]
    assert team.agent.texts(conversation) == ["hello"]


def test_reconnecting_goes_on_in_the_same_conversation(team: Team, guest: Human, conversation: str) -> None:
    before = team.agent.assignment(guest)
    line = guest.line
    guest.tell_router("disconnect")
    guest.connect(team.handle)
    after = team.agent.assignment(guest)
    assert before
    assert after
    assert after["id"] != before["id"]
    assert guest.line == line
    found = team.agent.call("get_imessage_conversation", conversation)
    assert (found["assignment_id"], found["assignment_status"]) == (after["id"], "active")
    team.agent.send("welcome back", to=guest.number)
    guest.wait_for_bubble("welcome back")
    guest.write("thanks")
    waited(lambda: team.agent.texts(conversation) == ["hello", "welcome back", "thanks"], what="the whole talk")


def test_two_agents_of_one_human_have_two_lines(team: Team, admin_sdk: Sdk, guest: Human, conversation: str) -> None:
    other = f"second-{team.handle}"
    admin_sdk.call("create_identity", other, imessage_enabled=True)
    first, _ = guest.line, guest.connect(other)
    assert guest.line != first
    guest.write("for the second alone")
    second = Agent(admin_sdk, other)
    summary = waited(lambda: second.summary(guest), what="the second agent's conversation")
    assert second.texts(summary["id"]) == ["for the second alone"]
    assert team.agent.texts(conversation) == ["hello"]


def test_the_agents_program_is_told_of_a_text_within_a_moment(admin_sdk: Sdk, team: Team, guest: Human) -> None:
    if team.version == "0.4.7":
        pytest.skip("This client knows no subscriptions of identities; the newer one makes and verifies them.")
    with endpoint() as there:
        whose = admin_sdk.call("get_identity", team.handle)["id"]
        made = admin_sdk.call(
            "webhooks.subscriptions.create",
            agent_identity_id=whose,
            url=there.url,
            event_types=["imessage.received"],
        )
        guest.write("are you told?")
        began = time.monotonic()
        waited(lambda: there.requests, what="a webhook")
        assert time.monotonic() - began < 3
    request = there.requests[0]
    assert request.payload["data"]["message"]["content"] == "are you told?"
    assert is_verified(request, key=made["signing_key"])


def is_verified(request: Request, *, key: str) -> bool:
    """Whether the client's own verifier accepts the request."""
    done = subprocess.run(
        [PYTHON, "-S", "-c", _VERIFY],
        input=json.dumps({"body": request.body.decode(), "headers": request.headers, "key": key}),
        env={"PYTHONPATH": str(CHECKOUT / "var" / "clients" / "inkbox-0.7.20")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip() == "True"
