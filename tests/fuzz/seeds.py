"""What each dialect's requests can name: a key, and what the demo and a few calls have made."""

from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.installation import Installation, waited
from tests.plain_http import call

# @concierge's own in the demo organization: the second carries texts alone.
NUMBER, SMS_NUMBER = "+15555550111", "+15555550112"
HUMANS = [f"+1555555920{last}" for last in range(4)]

_HOOK = "https://hooks.example.com/all"
_TAPBACKS = ["love", "question", "\N{PARTY POPPER}"]
_SPARES = 6

# A line that cannot be had is a 503 by contract, which schemathesis takes for a failing server: there are enough.
_STOCK = """
INSERT INTO lines_line
SELECT (jsonb_populate_record(line, jsonb_build_object('id', gen_random_uuid(), 'kind', 'dedicated',
        'address', '+1555556' || lpad(number::text, 4, '0')))).*
  FROM lines_line AS line, generate_series(0, 4999) AS number
 WHERE line.id = (SELECT id FROM lines_line WHERE kind = 'pool' LIMIT 1)
"""


@dataclass
class Facts:
    """Of one dialect: `ids` by the names of parameters and fields, `spare` those that may be deleted."""

    base_url: str
    key: str
    ids: dict[str, list[Any]]
    spare: dict[str, list[Any]] = field(default_factory=dict)


def stock(product: Installation) -> None:
    """Thousands of numbers to be claimed; once for each installation."""
    with psycopg.connect(product.database_url, autocommit=True) as connection:
        connection.execute(_STOCK)


def inkbox(product: Installation) -> Facts:
    key = product.create_key(label="fuzz")
    rows = {
        name: call(product.base_url, key, "GET", path)
        for name, path in {
            "identities": "/api/v1/identities/",
            "messages": "/api/v1/imessage/messages?is_blocked=false&limit=200",
            "conversations": "/api/v1/imessage/conversations?is_blocked=false",
        }.items()
    }
    concierge = "/api/v1/imessage/identities/concierge/contact-rules"
    rule = call(product.base_url, key, "POST", concierge, {"action": "allow", "match_target": "+15555550177"})
    spare = call(product.base_url, key, "POST", "/api/v1/identities/", {"agent_handle": "spare"})
    messages = [row["id"] for row in rows["messages"]]
    identities = [row["id"] for row in rows["identities"]]
    ids = {
        "handle": [row["agent_handle"] for row in rows["identities"]],
        "agent_identity_id": identities,
        "scoped_identity_id": identities,
        "sender_id": identities,
        "conversation_id": [row["id"] for row in rows["conversations"]],
        "message_id": messages,
        "thread_id": messages,
        "rule_id": [rule["id"]],
    }
    return Facts(product.base_url, key, ids, {"handle": [spare["agent_handle"]]})


def agentphone(product: Installation) -> Facts:
    """Two conversations and a group on the concierge's number, a webhook of the project and one of an agent."""
    key = f"sk_live_{product.create_key(label='fuzz AgentPhone')}"

    def ask(method: str, path: str, body: Any = None) -> Any:
        return call(product.base_url, key, method, f"/v1{path}", body, scheme="Bearer")

    ann, bob, eve, _ = HUMANS
    _talk(product)
    first = ask("POST", "/messages", {"from_number": NUMBER, "to_number": ann, "body": "hello"})
    replied = {"from_number": NUMBER, "to_number": ann, "body": "and", "reply_to_message_id": first["id"]}
    sent = [
        first,
        ask("POST", "/messages", replied),
        ask("POST", "/messages", {"from_number": SMS_NUMBER, "to_number": bob, "body": "hi"}),
        ask("POST", "/messages", {"from_number": NUMBER, "recipients": [ann, bob, eve], "body": "hi all"}),
    ]
    threads = [row["id"] for row in ask("GET", "/conversations?limit=100")["data"]]
    said = [row["id"] for thread in threads for row in ask("GET", f"/conversations/{thread}/messages")["data"]]
    numbers = ask("GET", "/numbers?limit=100")["data"]
    owner = next(row["agentId"] for row in numbers if row["phoneNumber"] == NUMBER)
    ask("POST", "/webhooks", {"url": _HOOK})
    ask("POST", f"/agents/{owner}/webhook", {"url": _HOOK})
    contact = ask("POST", "/contacts", {"phoneNumber": ann, "name": "Ann"})
    card = f"/numbers/{numbers[0]['id']}/contact-card"
    ask("PUT", card, {"displayName": "Desk"})
    spare_agents = [ask("POST", "/agents", {"name": f"Spare {count}"})["id"] for count in range(_SPARES)]
    spare_numbers = [ask("POST", "/numbers", {"agentId": agent})["id"] for agent in spare_agents]
    spare_contacts = [
        ask("POST", "/contacts", {"phoneNumber": f"+1555555930{count}", "name": "Spare"})["id"]
        for count in range(_SPARES)
    ]
    agents = [owner, *spare_agents]
    number_ids = [row["id"] for row in numbers] + spare_numbers
    groups = [row["to_number"] for row in sent if row["to_number"].startswith("grp_")]
    ids = {
        "agent_id": agents,
        "agentId": agents,
        "number_id": number_ids,
        "numberId": number_ids,
        "conversation_id": threads,
        "message_id": said,
        # Most answer nothing: what is answered must be of the same conversation.
        "reply_to_message_id": [None, None, None, first["id"]],
        "contact_id": [contact["id"]],
        "from_number": [NUMBER, SMS_NUMBER],
        "to_number": HUMANS + groups,
        "before": said,
        "after": said,
        # A pattern beside a format of ours makes generators follow the pattern.
        "url": [_HOOK, "https://hooks.example.com/other"],
        "reaction": _TAPBACKS,
    }
    spare = {"agent_id": spare_agents, "number_id": spare_numbers, "contact_id": spare_contacts}
    return Facts(product.base_url, key, ids, spare)


def contiguity(product: Installation) -> Facts:
    """Chats over both of the concierge's numbers, with a tapback."""
    key = f"contiguity_sk_{product.create_key(label='fuzz Contiguity')}"

    def ask(method: str, path: str, body: Any = None) -> Any:
        return call(product.base_url, key, method, path, body, scheme="Token")["data"]

    ann, bob, _, _ = HUMANS
    _talk(product)
    sent = [
        ask("POST", "/send/imessage", {"to": ann, "from": NUMBER, "message": "hello"}),
        ask("POST", "/send/imessage", {"to": bob, "from": NUMBER, "message": "hi"}),
        ask("POST", "/send/text", {"to": ann, "from": SMS_NUMBER, "message": "a text"}),
    ]
    love = {"action": "add", "to": ann, "from": NUMBER, "message": "good morning", "tapback": "love"}
    ask("POST", "/send/imessage/reactions", love)
    free = [row["number"]["e164"] for row in ask("GET", "/numbers/leases")["numbers"]]
    leased = free[:_SPARES]
    for number in leased:
        ask("POST", f"/numbers/lease/{number}", {"billing_method": "monthly"})
    said = ["hello", "hi", "good morning", "a text"]
    ids = {
        "to": [ann, bob],
        "from": [NUMBER, SMS_NUMBER],
        "sender": [NUMBER, SMS_NUMBER],
        "number": [NUMBER, *leased, *free[_SPARES : _SPARES + 20]],
        "limit": ["1", "20", "500"],
        "message_id": [row["message_id"] for row in sent],
        "message": said,
        "tapback": _TAPBACKS,
        "reaction": _TAPBACKS,
    }
    return Facts(product.base_url, key, ids, {"number": leased})


def _talk(product: Installation) -> None:
    """Two humans have written to the concierge's number."""
    for human in HUMANS[:2]:
        product.handset("POST", human, "texts", {"to": NUMBER, "text": "good morning"})
    query = "SELECT count(*) FROM imessage_message WHERE text = 'good morning' AND human = ANY(%s)"
    waited(lambda: product.sql(query, HUMANS[:2])[0][0] >= 2, what="what they wrote")


SEEDS = {"inkbox": inkbox, "agentphone": agentphone, "contiguity": contiguity}
