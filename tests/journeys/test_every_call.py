"""Every call of both clients that concerns us, against the running product; at the end none was left out."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.installation import Installation, waited
from tests.journeys.conftest import begin
from tests.journeys.people import Agent, Human, Refused, Sdk
from tests.webhooks.endpoints import Endpoint, endpoint

NOWHERE = "018f3c5e-0000-7000-8000-000000000000"
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64

# Of the clients' resources, what belongs to the vendor's other products.
OTHERS = {
    "release_phone_number",
    "list_access",
    "grant_access",
    "revoke_access",
    "get_domain_affiliation",
    "set_domain_affiliation",
    "remove_domain_affiliation",
    "lookup_email",
}


class Caller:
    """The admin's client, which remembers every method it was asked for."""

    def __init__(self, sdk: Sdk, version: str) -> None:
        self.sdk = sdk
        self.is_new = version != "0.4.7"
        self.called: set[str] = set()

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.called.add(name)
        return self.sdk.call(name, *args, **kwargs)

    def refusal(self, name: str, *args: Any, **kwargs: Any) -> Refused:
        try:
            done = self(name, *args, **kwargs)
        except Refused as refused:
            return refused
        raise AssertionError(f"{name} was not refused: {done}")


@pytest.fixture(scope="module")
def installation(commons: Installation) -> Installation:
    return commons


@pytest.fixture(scope="module")
def call(admin_sdk: Sdk, version: str) -> Caller:
    return Caller(admin_sdk, version)


@pytest.fixture(scope="module")
def identity(call: Caller, version: str) -> dict[str, Any]:
    """An identity of the client's own making."""
    handle = "all-" + version.replace(".", "-")
    call("_ids_resource.create", agent_handle=f"@{handle}", display_name="All", imessage_enabled=True)
    return dict(call("_ids_resource.get", handle))


@pytest.fixture(scope="module")
def guest(installation: Installation, identity: dict[str, Any]) -> Human:
    """A human who has connected and said hello."""
    return Human(installation).connect(identity["agent_handle"])


@pytest.fixture(scope="module")
def conversation(call: Caller, identity: dict[str, Any], guest: Human) -> str:
    return begin(Agent(call.sdk, identity["agent_handle"]), guest)


@pytest.fixture
def there() -> Iterator[Endpoint]:
    with endpoint() as healthy:
        yield healthy


def test_identities(call: Caller, identity: dict[str, Any]) -> None:
    handle = identity["agent_handle"]
    assert handle in [found["agent_handle"] for found in call("_ids_resource.list")]
    changed = call("_ids_resource.update", handle, description="answers", imessage_filter_mode="whitelist")
    assert (changed["description"], changed["imessage_filter_mode"]) == ("answers", "whitelist")
    assert call("_ids_resource.update", handle, imessage_filter_mode="blacklist")["imessage_filter_mode"] == "blacklist"
    taken = call.refusal("_ids_resource.create", agent_handle=handle)
    assert (taken.type, taken.status) == ("HandleUnavailableError", 409)


def test_an_older_client_renames_and_pauses(call: Caller, version: str) -> None:
    if call.is_new:
        pytest.skip("newer clients cannot")
    call("_ids_resource.create", agent_handle="before")
    assert call("_ids_resource.update", "before", new_handle="after", status="paused")["agent_handle"] == "after"
    call("_ids_resource.delete", "after")


def test_a_newer_client_sets_each_direction(call: Caller, identity: dict[str, Any]) -> None:
    if not call.is_new:
        pytest.skip("older clients cannot")
    handle = identity["agent_handle"]
    changed = call("_ids_resource.update", handle, phone_outbound_filter_mode="whitelist")
    assert (changed["phone_inbound_filter_mode"], changed["phone_outbound_filter_mode"]) == ("blacklist", "whitelist")
    call("_ids_resource.update", handle, imessage_filter_mode="blacklist", imessage_number_id=None)


def test_a_key_is_made_for_an_identity(call: Caller, identity: dict[str, Any], open_sdk: Callable[[str], Sdk]) -> None:
    made = call("api_keys.create", label="bot", description="answers", scoped_identity_id=identity["id"])
    assert (made["record"]["status"], made["record"]["scoped_identity_id"]) == ("active", identity["id"])
    agent = open_sdk(made["api_key"])
    assert [found["id"] for found in agent.call("list_identities")] == [identity["id"]]
    assert call.refusal("api_keys.create", label="another admin").status == 403


def test_contact_rules(call: Caller, identity: dict[str, Any]) -> None:
    handle, resource = identity["agent_handle"], "imessage_contact_rules"
    rule = call(f"{resource}.create", handle, action="block", match_target="+15555550171")
    assert call(f"{resource}.get", handle, rule["id"]) == rule
    assert rule in call(f"{resource}.list", f"@{handle}", action="block", match_type="exact_number")
    assert rule in call(f"{resource}.list_all", agent_identity_id=identity["id"], limit=10, offset=0)
    twice = call.refusal(f"{resource}.create", handle, action="allow", match_target="+15555550171")
    assert (twice.type, twice.facts["existing_rule_id"]) == ("DuplicateContactRuleError", rule["id"])
    assert call(f"{resource}.update", handle, rule["id"], action="allow")["action"] == "allow"
    if call.is_new:
        changed = call(f"{resource}.update", handle, rule["id"], action="block", apply_to="outbound")
        assert (changed["id"], changed["direction"]) == (rule["id"], "outbound")
        assert len(call(f"{resource}.list", handle, direction="inbound")) == 1
    else:
        assert call(f"{resource}.update", handle, rule["id"], status="paused")["status"] == "paused"
    call(f"{resource}.delete", handle, rule["id"])
    assert call.refusal(f"{resource}.get", handle, rule["id"]).status == 404


def test_the_router_and_connections(call: Caller, identity: dict[str, Any], guest: Human) -> None:
    assert call("imessages.get_triage_number")["connect_command"] == "connect @your-handle"
    rows = call("imessages.list_assignments", agent_identity_id=identity["id"])
    assert [row["remote_number"] for row in rows] == [guest.number]


def test_messages(call: Caller, identity: dict[str, Any], guest: Human, conversation: str) -> None:
    sent = call("imessages.send", conversation_id=conversation, text="hi", send_style="confetti")
    assert (sent["status"], sent["send_style"], sent["assignment_id"] is not None) == ("queued", "confetti", True)
    call("imessages.send", to=guest.number, text="again", agent_identity_id=identity["id"])
    guest.wait_for_bubble("again")
    rows = call("imessages.list", conversation_id=conversation, agent_identity_id=identity["id"], is_read=False)
    assert [row["content"] for row in rows] == ["again", "hi", "hello"]
    summary = call("imessages.list_conversations", agent_identity_id=identity["id"], is_blocked=False)[0]
    assert (summary["id"], summary["latest_text"]) == (conversation, "again")
    shown = call("imessages.get_conversation", conversation, agent_identity_id=identity["id"])
    assert shown["remote_number"] == guest.number


def test_a_newer_client_repeats_finds_and_threads(
    call: Caller, identity: dict[str, Any], guest: Human, conversation: str
) -> None:
    if not call.is_new:
        pytest.skip("older clients cannot")
    first, again = (
        call("imessages.send", conversation_id=conversation, text="once", idempotency_key="only") for _ in range(2)
    )
    assert first["id"] == again["id"]
    reused = call.refusal("imessages.send", conversation_id=conversation, text="other", idempotency_key="only")
    assert reused.type == "IdempotencyKeyReusedError"
    where = {"sender_kind": "imessage_identity", "sender_id": identity["id"], "operation": "imessage.send"}
    assert call("message_sends.lookup", **where, idempotency_key="only") == first["id"]
    assert call("imessages.get", first["id"], agent_identity_id=identity["id"])["content"] == "once"
    thread = call("imessages.get_thread", first["id"], limit=10)
    assert [message["id"] for message in thread["messages"]] == [first["id"]]
    same = call("imessages.get_conversation_thread", conversation, thread["thread_id"])
    assert same["thread_id"] == thread["thread_id"]
    query = {"conversation_id": conversation, "include_groups": True}
    day = {"start_datetime": "2026-01-01", "end_datetime": "2999-01-01", "tz": "Europe/Berlin"}
    assert len(call("imessages.list", **query, **day, limit=200)) >= 4
    replied = call("imessages.send", conversation_id=conversation, text="re", reply_to_message_id=first["id"])
    assert replied["reply_to_message_id"] == first["id"]


def test_media_travel_both_ways(call: Caller, guest: Human, conversation: str) -> None:
    file = {"base64": base64.b64encode(PNG).decode()}
    made = call("imessages.upload_media", content=file, filename="cat.png", content_type="image/png")
    assert (made["content_type"], made["size"]) == ("image/png", len(PNG))
    call("imessages.send", conversation_id=conversation, text="a cat", media_urls=[made["media_url"]])
    assert guest.wait_for_bubble("a cat")["media"]


def test_tapbacks(call: Caller, guest: Human, conversation: str) -> None:
    hello = call("imessages.list", conversation_id=conversation, limit=200)[-1]
    made = call("imessages.send_reaction", message_id=hello["id"], reaction="love")
    assert (made["reaction"], made["target_message_id"]) == ("love", hello["id"])
    if call.is_new:
        eyes = call("imessages.send_reaction", message_id=hello["id"], reaction="eyes", part_index=0)
        assert eyes["reaction"] == "eyes"
        for reaction in (made, eyes, eyes):
            call("imessages.remove_reaction", reaction["id"])
        assert call("imessages.get", hello["id"])["reactions"] is None


def test_receipts_and_typing(call: Caller, guest: Human, conversation: str) -> None:
    assert call("imessages.mark_conversation_read", conversation)["updated_count"] == 1
    guest.wait_for_news(type="read")
    call("imessages.send_typing", conversation)
    guest.wait_for_news(type="typing", on=True)


def test_a_blocked_recipient_is_a_class_of_its_own(
    call: Caller, identity: dict[str, Any], guest: Human, conversation: str
) -> None:
    handle = identity["agent_handle"]
    rule = call("imessage_contact_rules.create", handle, action="block", match_target=guest.number)
    refused = call.refusal("imessages.send", conversation_id=conversation, text="no")
    assert (refused.type, refused.facts["matched_rule_id"]) == ("RecipientBlockedError", rule["id"])
    call("imessage_contact_rules.delete", handle, rule["id"])


def test_an_older_clients_key_signs_for_all(call: Caller) -> None:
    if call.is_new:
        pytest.skip("newer clients have a key for each identity")
    assert call("_signing_keys.create_or_rotate")["signing_key"].startswith("whsec_")


def test_webhooks(call: Caller, identity: dict[str, Any], guest: Human, there: Endpoint) -> None:
    resource = "webhooks.subscriptions"
    made = call(f"{resource}.create", url=there.url, event_types=["imessage.sent"], agent_identity_id=identity["id"])
    assert (made["agent_identity_id"], made["status"]) == (identity["id"], "active")
    if call.is_new:
        # The older client has made a key for all of the organization.
        assert made.pop("signing_key") is None
        assert call(f"{resource}.list", agent_identity_id=identity["id"], scope="identity") == [made]
    assert call(f"{resource}.get", made["id"]) == made
    assert call(f"{resource}.list", url=there.url, event_type="imessage.sent") == [made]
    events = ["imessage.received", "imessage.delivered"]
    assert call(f"{resource}.update", made["id"], event_types=events)["event_types"] == events
    guest.write("do you hear?")
    told = waited(lambda: there.payloads, what="a webhook")
    assert told[0]["data"]["message"]["content"] == "do you hear?"
    if call.is_new:
        rows = waited(
            lambda: call("webhooks.deliveries.list", subscription_id=made["id"], success=True), what="an attempt"
        )
        again = call("webhooks.deliveries.replay", rows[0]["id"])
        assert (again["event_id"], again["is_replay"]) == (rows[0]["event_id"], True)
    call(f"{resource}.delete", made["id"])
    assert call.refusal(f"{resource}.get", made["id"]).status == 404


def test_signing_keys(call: Caller, identity: dict[str, Any]) -> None:
    if not call.is_new:
        pytest.skip("older clients know the organization's alone")
    made = call("_signing_keys.create_or_rotate", identity["agent_handle"])
    status = call("_signing_keys.get_status", identity["agent_handle"])
    assert (status["configured"], status["created_at"]) == (True, made["created_at"])
    assert call("_signing_keys.create_or_rotate")["signing_key"] != made["signing_key"]
    assert call("_signing_keys.get_status")["configured"] is True


@pytest.fixture(scope="module")
def owner(call: Caller) -> dict[str, Any]:
    """An identity with a number of its own, which a newer client claimed and attached."""
    if not call.is_new:
        pytest.skip("older clients know no dedicated lines")
    line = call("imessages.claim_number", idempotency_key="claim")
    assert call("imessages.claim_number", idempotency_key="claim") == line
    assert line in call("imessages.list_numbers")
    made = call("_ids_resource.create", agent_handle="owner", imessage_enabled=True)
    attached = call("_ids_resource.update", "owner", imessage_number_id=line["id"])
    assert attached["imessage_number"] == {name: line[name] for name in ("id", "number", "type")}
    assert "owner" in [own["agent_handle"] for own in call("imessages.list_numbers")]
    return {"id": made["id"], "number": line["number"]}


def test_a_newer_client_writes_first_from_a_number_of_its_own(
    call: Caller, installation: Installation, owner: dict[str, Any]
) -> None:
    stranger = Human(installation)
    stranger.line = owner["number"]
    sent = call("imessages.send", to=stranger.number, text="we have not met", agent_identity_id=owner["id"])
    asked = stranger.wait_for_bubble("we have not met")
    stranger.answer(asked, "who is that?")
    answered = waited(lambda: call("imessages.get_thread", sent["id"])["messages"][1:], what="the inline reply")[0]
    assert (answered["content"], answered["reply_to_message_id"]) == ("who is that?", sent["id"])
    more = {"conversation_id": sent["conversation_id"], "reply_to_message_id": answered["id"]}
    reply = call("imessages.send", **more, text="an agent", plain_reply_fallback=False)
    assert stranger.wait_for_bubble("an agent")["reply_to"]
    thread = call("imessages.get_conversation_thread", sent["conversation_id"], reply["thread_id"], limit=2)
    rest = call("imessages.get_thread", reply["id"], limit=2, cursor=thread["next_cursor"])
    assert [message["id"] for message in thread["messages"] + rest["messages"]] == [
        sent["id"],
        answered["id"],
        reply["id"],
    ]
    rows = call("imessages.list", conversation_id=sent["conversation_id"], thread_id=reply["thread_id"])
    assert len(rows) == 3


def test_a_newer_client_talks_in_groups(call: Caller, installation: Installation, owner: dict[str, Any]) -> None:
    humans = [Human(installation) for _ in range(2)]
    numbers = [human.number for human in humans]
    sent = call("imessages.send", to=numbers, text="hello both", agent_identity_id=owner["id"])
    assert [recipient["remote_number"] for recipient in sent["recipients"]] == numbers
    group = waited(humans[0].groups, what="the group on the phone")[0]
    for human in humans:
        human.line = group["key"]
        human.wait_for_bubble("hello both")
    humans[1].write("hello from me")
    found = waited(
        lambda: call("imessages.list", conversation_id=sent["conversation_id"], is_read=False)[:-1], what="the answer"
    )[0]
    assert (found["sender_number"], found["assignment_id"], found["is_group"]) == (numbers[1], None, True)
    shown = call("imessages.get_conversation", sent["conversation_id"])
    assert (sorted(shown["participants"]), shown["group_creation_status"]) == (sorted(numbers), "ready")
    assert call("imessages.send", to=numbers[::-1], text="again", agent_identity_id=owner["id"])["is_group"]
    assert len(humans[0].groups()) == 1
    made = call("imessages.send_reaction", message_id=found["id"], reaction="love")
    assert (made["assignment_id"], made["remote_number"]) == (None, numbers[1])
    for deed in ("imessages.mark_conversation_read", "imessages.send_typing"):
        assert call.refusal(deed, sent["conversation_id"]).status == 409
    hidden, listed = (
        call("imessages.list_conversations", agent_identity_id=owner["id"], include_groups=asked)
        for asked in (False, True)
    )
    assert {row["id"] for row in listed} - {row["id"] for row in hidden} == {sent["conversation_id"]}


def test_a_newer_client_is_told_when_no_line_is_left(call: Caller, installation: Installation) -> None:
    if not call.is_new:
        pytest.skip("older clients know no dedicated lines")
    left = installation.sql(
        "UPDATE lines_line SET wanted = 'paused' WHERE kind = 'dedicated' AND organization_id IS NULL RETURNING address"
    )
    empty = call.refusal("imessages.claim_number", idempotency_key="too late")
    assert (empty.type, empty.facts["retry_after_seconds"]) == ("DedicatedIMessageNumberInventoryPendingError", 3600)
    for (address,) in left:
        installation.sql("UPDATE lines_line SET wanted = 'in_service' WHERE address = %s RETURNING address", address)


def test_the_end(call: Caller, identity: dict[str, Any], guest: Human, conversation: str) -> None:
    if call.is_new:
        connection = call("imessages.list_assignments", agent_identity_id=identity["id"])[0]
        call("imessages.release_assignment", connection["id"])
        assert call.refusal("imessages.release_assignment", connection["id"]).status == 404
        assert call.refusal("imessages.send", conversation_id=conversation, text="gone").status == 409
    call("_ids_resource.delete", identity["agent_handle"])
    assert call.refusal("_ids_resource.get", identity["agent_handle"]).status == 404


def test_no_call_was_left_out(call: Caller) -> None:
    resources = ["imessages", "imessage_contact_rules", "_ids_resource", "webhooks.subscriptions", "api_keys"]
    resources += ["_signing_keys"]
    if call.is_new:
        resources += ["webhooks.deliveries", "message_sends"]
    there_are = {f"{name}.{method}" for name in resources for method in call.sdk.methods(name) - OTHERS}
    assert there_are - call.called == set()
