"""`bin/fuzz`: schemathesis with all its checks over the API's document, against an installation of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from tests.installation import CHECKOUT, PYTHON, Installation
from tests.plain_http import call

# Cases per operation and phase, unless the command line says otherwise. One worker: Python 3.11's parser, which
# hypothesis uses, fails at times in two threads.
DEFAULTS = ["--max-examples=40", "--workers=1"]
ENVIRONMENT = {"CORDBOARD_INTERNAL_HOSTS": "hooks.example.com", "CORDBOARD_DEDICATED_LINES_PER_ORGANIZATION": "9999"}

# A line that cannot be had is a 503 by contract, which schemathesis takes for a failing server: there are enough.
_STOCK = """
INSERT INTO lines_line
SELECT (jsonb_populate_record(line, jsonb_build_object('id', gen_random_uuid(), 'kind', 'dedicated',
        'address', '+1555556' || lpad(number::text, 4, '0')))).*
  FROM lines_line AS line, generate_series(0, 4999) AS number
 WHERE line.id = (SELECT id FROM lines_line WHERE kind = 'pool' LIMIT 1)
"""


def main(options: list[str]) -> int:
    with Installation(env=ENVIRONMENT) as product:
        environment = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "CORDBOARD_FUZZ": json.dumps(facts_of(product)),
            "PYTHONPATH": str(CHECKOUT),
        }
        command = [
            PYTHON.with_name("schemathesis"),
            f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
            "run",
            f"{product.base_url}/api/v1/openapi.json",
            "--checks=all",
            "--generation-database=none",
            "--no-color",
            *DEFAULTS,
            *options,
        ]
        return subprocess.run(command, cwd=product.home, env=environment).returncode


def facts_of(product: Installation) -> dict[str, Any]:
    """A key, and the ids of what the demo has made."""
    with psycopg.connect(product.database_url, autocommit=True) as connection:
        connection.execute(_STOCK)
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
    messages = [row["id"] for row in rows["messages"]]
    identities = [row["id"] for row in rows["identities"]]
    return {
        "key": key,
        "spare": call(product.base_url, key, "POST", "/api/v1/identities/", {"agent_handle": "spare"})["agent_handle"],
        "base_url": product.base_url,
        "ids": {
            "handle": [row["agent_handle"] for row in rows["identities"]],
            "agent_identity_id": identities,
            "scoped_identity_id": identities,
            "sender_id": identities,
            "conversation_id": [row["id"] for row in rows["conversations"]],
            "message_id": messages,
            "thread_id": messages,
            "rule_id": [rule["id"]],
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
