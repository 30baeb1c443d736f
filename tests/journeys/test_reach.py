"""Who may reach whom, who may see it, and who is told nothing: told with both of Inkbox's clients."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.installation import Installation, waited
from tests.journeys.conftest import Team, begin
from tests.journeys.people import Agent, Human, Refused, Sdk


@pytest.fixture(scope="module")
def picky(installation: Installation, version: str, open_sdk: Callable[[str], Sdk], admin_sdk: Sdk) -> Team:
    """An agent whose filter mode is flipped."""
    handle = "picky-" + version.replace(".", "-")
    admin_sdk.call("create_identity", handle, imessage_enabled=True)
    key = installation.create_key(identity=handle, label=handle)
    return Team(version, Agent(open_sdk(key), handle), Agent(admin_sdk, handle))


@pytest.fixture(scope="module")
def tenant_key(installation: Installation) -> str:
    """An admin key of another organization."""
    made = "from accounts.members import *; create_organization(Actor.system('test'), name='other')"
    installation.manage("shell", "-v", "0", "-c", made)
    return installation.create_key(organization="other", label="stranger")


def test_a_blocked_text_is_seen_by_the_admin_alone(
    installation: Installation, team: Team, guest: Human, conversation: str
) -> None:
    later = Human(installation).connect(team.handle)
    begin(team.agent, later)
    before = team.agent.summary(guest)
    team.admin.rule("block", guest)
    guest.write("you should not read this")
    waited(lambda: team.admin.texts(conversation, is_blocked=True), what="the blocked text")

    assert team.agent.texts(conversation) == ["hello"]
    assert team.agent.texts(conversation, is_blocked=True) == []
    assert team.agent.summary(guest) == before
    assert team.agent.summary(guest, is_blocked=True) is None
    assert order(team.agent, guest, later) == [later.number, guest.number]

    assert [(found["content"], found["is_blocked"]) for found in team.admin.messages(conversation)] == [
        ("hello", False),
        ("you should not read this", True),
    ]
    assert counters(team.admin.summary(guest)) == ("you should not read this", 2, 2)
    assert counters(team.admin.summary(guest, is_blocked=True)) == ("you should not read this", 1, 1)
    assert counters(team.admin.summary(guest, is_blocked=False)) == ("hello", 1, 1)
    assert order(team.admin, guest, later) == [guest.number, later.number]
    assert guest.inbox()[-1]["text"] == "you should not read this"


def test_reading_never_touches_a_blocked_text(team: Team, guest: Human, conversation: str) -> None:
    rule = team.admin.rule("block", guest)
    guest.write("blocked")
    waited(lambda: team.admin.texts(conversation, is_blocked=True), what="the blocked text")
    team.admin.sdk.call("imessage_contact_rules.delete", team.handle, rule["id"])
    assert team.agent.call("mark_imessage_conversation_read", conversation)["updated_count"] == 1
    assert [(found["is_blocked"], found["is_read"]) for found in team.admin.messages(conversation)] == [
        (False, True),
        (True, False),
    ]
    guest.write("heard again")
    waited(lambda: team.agent.texts(conversation) == ["hello", "heard again"], what="the text after the block")


def test_a_talk_that_began_blocked_does_not_exist_for_the_agent(team: Team, guest: Human) -> None:
    team.admin.rule("block", guest)
    guest.write("let me in")
    hidden = waited(lambda: team.admin.summary(guest), what="the conversation")["id"]
    assert team.agent.summary(guest) is None
    assert team.agent.refusal("get_imessage_conversation", hidden).status == 404
    assert team.admin.call("get_imessage_conversation", hidden)["remote_number"] == guest.number


def test_nothing_goes_out_to_a_blocked_human(team: Team, guest: Human, conversation: str) -> None:
    hello = team.agent.messages(conversation)[0]["id"]
    rule = team.admin.rule("block", guest)
    by_conversation = team.agent.refusal("send_imessage", conversation_id=conversation, text="hey")
    by_number = team.agent.refusal("send_imessage", to=guest.number, text="hey")
    for refused in (by_conversation, by_number):
        assert (refused.type, refused.status) == ("RecipientBlockedError", 403)
        assert (refused.facts["matched_rule_id"], refused.facts["address"]) == (rule["id"], guest.number)
    others = [
        team.agent.refusal("send_imessage_reaction", message_id=hello, reaction="love"),
        team.agent.refusal("mark_imessage_conversation_read", conversation),
        team.agent.refusal("send_imessage_typing", conversation),
    ]
    assert [refused.status for refused in others] == [403] * 3
    [bubble] = guest.inbox()
    assert (bubble["tapbacks"], bubble["read_at"]) == ([], None)


def test_a_blocked_humans_tapback_changes_nothing(team: Team, guest: Human, conversation: str) -> None:
    sent = team.agent.send("like me", conversation_id=conversation)
    guest.wait_for_bubble("like me")
    team.admin.rule("block", guest)
    guest.react("love")
    # A thread's reports are applied in order: once the text is there, the tapback has been.
    guest.write("after the tapback")
    waited(lambda: team.admin.texts(conversation, is_blocked=True), what="the text after the tapback")
    for view in (team.agent, team.admin):
        assert not view.message(sent["id"], conversation)["reactions"]


def test_the_router_tells_a_blocked_human_what_it_tells_of_an_unknown_agent(admin_sdk: Sdk, human: Human) -> None:
    handle = f"later-{human.number[-4:]}"
    unknown = human.tell_router(f"connect @{handle}")
    admin_sdk.call("create_identity", handle, imessage_enabled=True)
    Agent(admin_sdk, handle).rule("block", human)
    assert human.tell_router(f"connect @{handle}").encode() == unknown.encode()
    assert Agent(admin_sdk, handle).assignment(human) is None


def test_a_whitelist_shuts_out_all_but_the_allowed_until_it_is_lifted(
    installation: Installation, picky: Team, human: Human
) -> None:
    conversation = begin(picky.agent, human.connect(picky.handle))
    friend = Human(installation).connect(picky.handle)
    picky.admin.rule("allow", friend)
    picky.admin.call("update", imessage_filter_mode="whitelist")
    assert picky.agent.call("refresh")["imessage_filter_mode"] == "whitelist"
    human.write("shut out")
    waited(lambda: picky.admin.texts(conversation, is_blocked=True) == ["shut out"], what="the blocked text")
    refused = picky.agent.refusal("send_imessage", conversation_id=conversation, text="hey")
    assert (refused.type, refused.facts["matched_rule_id"]) == ("RecipientBlockedError", None)
    begin(picky.agent, friend)
    newcomer = Human(installation)
    assert newcomer.tell_router(f"connect @{picky.handle}").startswith("I do not know")

    picky.admin.call("update", imessage_filter_mode="blacklist")
    human.write("back again")
    waited(lambda: picky.agent.texts(conversation) == ["hello", "back again"], what="the text after the flip")
    picky.agent.send("welcome", conversation_id=conversation)
    human.wait_for_bubble("welcome")
    newcomer.connect(picky.handle)


def test_only_an_admin_flips_the_filter_mode(team: Team) -> None:
    assert team.agent.refusal("update", imessage_filter_mode="whitelist").status == 403
    assert team.admin.call("refresh")["imessage_filter_mode"] == "blacklist"


def test_only_an_admin_deletes_a_rule(team: Team, human: Human) -> None:
    rule = team.agent.rule("block", human)
    assert refusal(team.agent.sdk, "imessage_contact_rules.delete", team.handle, rule["id"]).status == 403
    team.admin.sdk.call("imessage_contact_rules.delete", team.handle, rule["id"])
    assert refusal(team.admin.sdk, "imessage_contact_rules.get", team.handle, rule["id"]).status == 404


def test_a_second_rule_for_the_same_human_names_the_first(team: Team, human: Human) -> None:
    rule = team.admin.rule("block", human)
    with pytest.raises(Refused) as again:
        team.admin.rule("allow", human)
    assert (again.value.type, again.value.status) == ("DuplicateContactRuleError", 409)
    assert again.value.facts["existing_rule_id"] == rule["id"]
    listed = team.admin.sdk.call("imessage_contact_rules.list", team.handle, limit=200)
    assert [found["action"] for found in listed if found["match_target"] == human.number] == ["block"]


@pytest.mark.parametrize("key", ["nonsense", "ApiKey_00000000-0000-4000-8000-000000000000.secret"])
def test_a_wrong_key_opens_nothing(open_sdk: Callable[[str], Sdk], key: str) -> None:
    wrong = open_sdk(key)
    for name in ("whoami", "list_identities", "imessages.list_conversations"):
        assert refusal(wrong, name).status == 401


def test_another_organization_sees_nothing_of_it(
    open_sdk: Callable[[str], Sdk], tenant_key: str, team: Team, guest: Human, conversation: str
) -> None:
    stranger = open_sdk(tenant_key)
    hello = team.agent.messages(conversation)[0]["id"]
    rule = team.admin.rule("allow", guest)
    nothing = "018f3c5e-0000-7000-8000-000000000000"
    for name, foreign, unknown in [
        ("get_identity", [team.handle], ["nobody-at-all"]),
        ("imessages.get_conversation", [conversation], [nothing]),
        ("imessages.mark_conversation_read", [conversation], [nothing]),
        ("imessages.send_typing", [conversation], [nothing]),
        ("imessage_contact_rules.list", [team.handle], ["nobody-at-all"]),
        ("imessage_contact_rules.get", [team.handle, rule["id"]], ["nobody-at-all", nothing]),
        ("imessage_contact_rules.delete", [team.handle, rule["id"]], ["nobody-at-all", nothing]),
    ]:
        answers = [refusal(stranger, name, *ids) for ids in (foreign, unknown)]
        assert [(answer.status, answer.detail) for answer in answers] == [(404, answers[0].detail)] * 2, name
    for facts in (
        {"conversation_id": conversation},
        {"to": guest.number, "agent_identity_id": team.admin.call("refresh")["id"]},
    ):
        assert refusal(stranger, "imessages.send", text="hi", **facts).status == 404
    assert refusal(stranger, "imessages.send_reaction", message_id=hello, reaction="love").status == 404
    assert stranger.call("list_identities") == []
    assert stranger.call("imessages.list") == []
    assert stranger.call("imessages.list", conversation_id=conversation) == []
    assert stranger.call("imessages.list_conversations") == []
    assert stranger.call("imessages.list_assignments") == []
    assert [bubble["text"] for bubble in guest.inbox()] == ["hello"]


def refusal(sdk: Sdk, name: str, *args: Any, **kwargs: Any) -> Refused:
    """How a call of the client is refused; fails the test if it is not."""
    with pytest.raises(Refused) as caught:
        sdk.call(name, *args, **kwargs)
    return caught.value


def counters(summary: dict[str, Any] | None) -> tuple[str, int, int] | None:
    return summary and (summary["latest_text"], summary["unread_count"], summary["total_count"])


def order(view: Agent, *humans: Human) -> list[str]:
    """In which order the list shows these humans' conversations."""
    numbers = {human.number for human in humans}
    return [found["remote_number"] for found in view.conversations() if found["remote_number"] in numbers]
