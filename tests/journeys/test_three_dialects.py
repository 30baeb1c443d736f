"""One organization, three vendors' clients at once: what one writes the others read, and every surface tells the same.

Ann and Bob have phones. Their agent has a number of its own, which Contiguity's client leases, Inkbox's attaches and
AgentPhone's lists; a pool line, over which Ann connects; and a group with both.
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from core.ids import from_prefixed
from tests.installation import Installation, waited
from tests.journeys.clients import Client, node_client, python_client
from tests.journeys.people import Agent, Human, Sdk
from tests.journeys.test_story import is_verified
from tests.webhooks.endpoints import Endpoint, Request, endpoint

ON_THE_NUMBER = ["are you open?", "from ten", "to six", "and never on Mondays"]
IN_THE_GROUP = ["who comes?", "I do", "noted"]
OVER_THE_POOL = ["over the pool", "heard"]

ORGANIZATION, HANDLE = "Three dialects", "front-desk"
NUMBER = "+15555550131"


@dataclass
class Told:
    """An endpoint of one dialect, and the secret that its deliveries are signed with."""

    there: Endpoint
    secret: str

    def about(self, words: str) -> Request:
        """The delivery in which these words stand."""

        def found() -> list[Request]:
            return [request for request in self.there.requests if words in request.body.decode()]

        (request,) = waited(found, what=f"news of {words!r}")
        return request


@dataclass
class Scene:
    """Who talks, with what."""

    commons: Installation
    inkbox: Agent
    oldest: Agent
    agentphone: Client
    contiguity: Client
    node: Client
    hooks: dict[str, Told]
    ann: Human
    bob: Human

    def conversation(self, **facts: Any) -> dict[str, Any]:
        """The one conversation of which this is so, as Inkbox's client lists it."""

        def found() -> list[dict[str, Any]]:
            rows = self.inkbox.conversations(include_groups=True)
            return [row for row in rows if all(row[name] == value for name, value in facts.items())]

        return dict(waited(found, what=f"a conversation with {facts}")[0])

    def in_agentphones_words(self, conversation_id: str) -> dict[str, Any]:
        """The same conversation, as AgentPhone's client lists it."""
        rows = self.agentphone("conversations.list")["data"]
        return dict(next(row for row in rows if from_prefixed("conv", row["id"]) == UUID(conversation_id)))

    def said(self, conversation_id: str) -> list[str]:
        """All texts as Inkbox's client reads them, oldest first; AgentPhone's reads the same."""
        texts = [str(text) for text in self.inkbox.texts(conversation_id)]
        shown = self.in_agentphones_words(conversation_id)
        rows = self.agentphone("conversations.get_messages", shown["id"])["data"]
        assert [row["body"] for row in reversed(rows)] == texts
        return texts

    def history(self, human: Human, line: str) -> list[str]:
        """What Contiguity's client reads of the pair, oldest first."""
        found = self.contiguity("imessage.get_history", to=human.number, from_=line)
        return [row["message"] for row in reversed(found["conversation"])]


@pytest.fixture(scope="module")
def scene(commons: Installation) -> Iterator[Scene]:
    """An organization of its own with one agent, who has a number of its own, and an endpoint for each dialect."""
    commons.network("PUT", f"/control/lines/{NUMBER}", {"kind": "dedicated"})
    commons.sql(
        "INSERT INTO lines_line SELECT (jsonb_populate_record(line, jsonb_build_object("
        " 'id', gen_random_uuid(), 'address', %s::text, 'kind', 'dedicated'))).*"
        " FROM lines_line AS line WHERE kind = 'pool' LIMIT 1 RETURNING 1",
        NUMBER,
    )
    commons.manage("create_organization", ORGANIZATION)
    key = commons.create_key(organization=ORGANIZATION, label="all three")
    with ExitStack() as ending:
        sdk = Sdk("0.7.20", base_url=commons.base_url, key=key)
        origin = {"ORIGIN": commons.base_url}
        agentphone = python_client(
            "agentphone-0.20.3", "agentphone_driver.py", env={**origin, "AGENTPHONE_API_KEY": f"sk_live_{key}"}
        )
        contiguity = python_client(
            "contiguity-3.0.0", "contiguity_driver.py", env={**origin, "CONTIGUITY_TOKEN": f"contiguity_sk_{key}"}
        )
        # Of Contiguity's clients only this one verifies webhooks.
        node = node_client("contiguity-0.1.2", "contiguity_driver.mjs", env={"CONTIGUITY_API_KEY": "contiguity_sk_"})
        for client in (sdk, agentphone, contiguity, node):
            ending.callback(client.close)
        sdk.call("create_identity", HANDLE, display_name="Front desk", imessage_enabled=True)
        contiguity("leases.lease_number", NUMBER, billing_method="monthly")
        theirs = {name: ending.enter_context(endpoint()) for name in ("inkbox", "agentphone", "contiguity")}
        secrets = _registered(commons, sdk, agentphone, theirs)
        ann, bob = Human(commons), Human(commons)
        ann.line = bob.line = NUMBER
        oldest = Sdk("0.4.7", base_url=commons.base_url, key=key)
        ending.callback(oldest.close)
        yield Scene(
            commons=commons,
            oldest=Agent(oldest, HANDLE),
            inkbox=Agent(sdk, HANDLE),
            agentphone=agentphone,
            contiguity=contiguity,
            node=node,
            hooks={name: Told(there, secrets[name]) for name, there in theirs.items()},
            ann=ann,
            bob=bob,
        )


def _registered(commons: Installation, sdk: Sdk, agentphone: Client, theirs: dict[str, Endpoint]) -> dict[str, str]:
    """Each endpoint registered as its vendor's users do; the secrets."""
    whose = sdk.call("get_identity", HANDLE)["id"]
    made = sdk.call(
        "webhooks.subscriptions.create",
        agent_identity_id=whose,
        url=theirs["inkbox"].url,
        event_types=["imessage.received"],
    )
    hook = agentphone("webhooks.set", url=theirs["agentphone"].url)
    where = ("--organization", ORGANIZATION, "--dialect", "contiguity", "--url", theirs["contiguity"].url)
    printed = commons.manage("create_webhook", *where, "--json")
    return {
        "inkbox": made["signing_key"],
        "agentphone": hook["secret"],
        "contiguity": json.loads(printed)["secret"],
    }


def test_the_number_is_the_agents_whoever_asks(scene: Scene) -> None:
    numbers = scene.inkbox.sdk.call("imessages.list_numbers")
    assert [(row["number"], row["agent_handle"]) for row in numbers] == [(NUMBER, HANDLE)]
    agents = scene.agentphone("agents.list")["data"]
    assert [number["phone_number"] for number in agents[0]["numbers"]] == [NUMBER]
    assert scene.contiguity("leases.get_number_details", NUMBER)["lease_status"] == "active"


def test_a_thread_on_the_number_is_written_by_all_and_read_by_all(scene: Scene) -> None:
    ann = scene.ann
    ann.write("are you open?")
    thread = scene.conversation(remote_number=ann.number)
    scene.inkbox.send("from ten", conversation_id=thread["id"])
    ann.wait_for_bubble("from ten")
    scene.agentphone("messages.send", from_number=NUMBER, to_number=ann.number, body="to six")
    ann.wait_for_bubble("to six")
    scene.contiguity("imessage.send", to=ann.number, from_=NUMBER, message="and never on Mondays")
    ann.wait_for_bubble("and never on Mondays")
    assert [bubble["text"] for bubble in ann.inbox()] == ON_THE_NUMBER
    assert scene.said(thread["id"]) == ON_THE_NUMBER
    assert scene.history(ann, NUMBER) == ON_THE_NUMBER


def test_a_tapback_and_a_receipt_of_one_are_seen_by_the_others(scene: Scene) -> None:
    ann = scene.ann
    thread = scene.conversation(remote_number=ann.number)
    assert thread["unread_count"] == 1
    scene.contiguity("imessage.add_reaction", to=ann.number, reaction="love", message="are you open?")
    scene.contiguity("imessage.mark_read", to=ann.number, from_=NUMBER)
    first = scene.inkbox.messages(thread["id"])[0]
    assert [(tapback["reaction"], tapback["direction"]) for tapback in first["reactions"]] == [("love", "outbound")]
    shown = scene.agentphone("conversations.get", scene.in_agentphones_words(thread["id"])["id"])
    put = [tapback["reaction_type"] for message in shown["messages"] for tapback in message["reactions"]]
    assert put == ["love"]
    assert scene.conversation(remote_number=ann.number)["unread_count"] == 0
    assert ann.inbox()[0]["read_at"]


def test_what_the_human_has_read_is_told_by_two(scene: Scene) -> None:
    """Inkbox has no word for it."""
    ann = scene.ann
    scene.commons.handset("POST", ann.number, "reads", {"with": NUMBER})
    thread = scene.in_agentphones_words(scene.conversation(remote_number=ann.number)["id"])

    def read() -> list[str]:
        rows = scene.agentphone("conversations.get", thread["id"])["messages"]
        return [row["body"] for row in reversed(rows) if row["direction"] == "outbound" and row["read_at"]]

    waited(lambda: read() == ON_THE_NUMBER[1:], what="the human's receipts")
    found = scene.contiguity("imessage.get_history", to=ann.number, from_=NUMBER)["conversation"]
    assert all(row["read"] for row in found)


def test_a_group_is_one_thread_to_two_and_hidden_from_the_third(scene: Scene) -> None:
    ann, bob = scene.ann, scene.bob
    agent = scene.agentphone("agents.list")["data"][0]
    scene.agentphone("messages.send", agent_id=agent["id"], recipients=[ann.number, bob.number], body="who comes?")
    group = waited(bob.groups, what="the group on the phone")[0]
    thread = scene.conversation(is_group=True)
    waited(lambda: scene.conversation(is_group=True)["group_creation_status"] == "ready", what="its name")
    bob.write("I do", to=group["key"])
    waited(lambda: scene.inkbox.texts(thread["id"]) == ["who comes?", "I do"], what="the answer")
    scene.inkbox.send("noted", conversation_id=thread["id"])
    waited(lambda: ann.inbox(group["key"])[2:], what="the third text on the phone")
    assert [bubble["text"] for bubble in ann.inbox(group["key"])] == IN_THE_GROUP
    assert scene.said(thread["id"]) == IN_THE_GROUP
    told = scene.inkbox.messages(thread["id"])[1]
    assert (told["sender_number"], sorted(told["participants"])) == (bob.number, sorted([ann.number, bob.number]))
    shown = scene.in_agentphones_words(thread["id"])
    assert {person["identifier"] for person in shown["participants"]} == {ann.number, bob.number}
    assert scene.history(ann, NUMBER) == ON_THE_NUMBER


def test_a_client_from_before_groups_reads_on(scene: Scene) -> None:
    """Its parser fails on a conversation without an assignment."""
    assert [row["remote_number"] for row in scene.oldest.conversations()] == [scene.ann.number]
    rows = scene.oldest.call("list_imessages", limit=200)
    assert [row["content"] for row in reversed(rows)] == ON_THE_NUMBER


def test_a_pool_line_is_shown_to_those_whose_clients_need_one(scene: Scene) -> None:
    ann = scene.ann
    ann.connect(HANDLE)
    assert ann.line != NUMBER
    ann.write("over the pool")
    thread = scene.conversation(latest_text="over the pool")
    assert (thread["remote_number"], ann.line in json.dumps(scene.inkbox.messages(thread["id"]))) == (ann.number, False)
    shown = scene.in_agentphones_words(thread["id"])
    assert (shown["phone_number"], shown["participant"]) == (ann.line, ann.number)
    scene.contiguity("imessage.send", to=ann.number, from_=ann.line, message="heard")
    ann.wait_for_bubble("heard")
    assert scene.said(thread["id"]) == OVER_THE_POOL
    assert scene.history(ann, ann.line) == OVER_THE_POOL
    # What is listed as owned is the number alone.
    for listed in (scene.inkbox.sdk.call("imessages.list_numbers"), scene.agentphone("numbers.list")["data"]):
        assert [row.get("number") or row["phone_number"] for row in listed] == [NUMBER]


@pytest.mark.parametrize("words", [ON_THE_NUMBER[0], OVER_THE_POOL[0]])
def test_each_dialects_webhook_arrives_and_its_own_verifier_says_so(scene: Scene, words: str) -> None:
    inkboxs, agentphones, contiguitys = (scene.hooks[name] for name in ("inkbox", "agentphone", "contiguity"))
    assert is_verified(inkboxs.about(words), key=inkboxs.secret)
    told = agentphones.about(words)
    signed = told.headers["x-webhook-signature"], agentphones.secret, told.headers["x-webhook-timestamp"]
    assert scene.agentphone("construct_event", told.body.decode(), *signed)["event"] == "agent.message"
    told = contiguitys.about(words)
    header = told.headers["contiguity-signature"]
    assert scene.node("verifyWebhookSignature", told.body.decode(), header, contiguitys.secret, 300) is True


def test_of_a_group_two_are_told_and_the_third_has_no_word_for_it(scene: Scene) -> None:
    assert scene.hooks["inkbox"].about("I do").payload["data"]["message"]["sender_number"] == scene.bob.number
    assert scene.hooks["agentphone"].about("I do").payload["data"]["senderIdentifier"] == scene.bob.number
    assert "I do" not in json.dumps(scene.hooks["contiguity"].there.payloads)


def test_the_console_shows_each_thread_as_one(scene: Scene) -> None:
    with _operator(scene.commons) as operator:
        for words in (ON_THE_NUMBER, IN_THE_GROUP, OVER_THE_POOL):
            thread = scene.conversation(latest_text=words[-1])
            page = operator.get(f"/console/threads/{thread['id']}/").raise_for_status().text
            assert re.findall(r'class="bubble-text">(.*?)</p>', page) == words


@contextmanager
def _operator(commons: Installation) -> Iterator[httpx.Client]:
    """A signed-in operator, without a browser."""
    with httpx.Client(base_url=commons.base_url, follow_redirects=True, trust_env=False, timeout=30) as client:
        form = client.get("/accounts/login/").raise_for_status()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert token
        password = (commons.data / "operator.password").read_text().strip()
        given = {"csrfmiddlewaretoken": token[1], "login": "operator@example.com", "password": password}
        client.post("/accounts/login/", data=given, headers={"Referer": str(form.url)}).raise_for_status()
        yield client
