"""`bin/fuzz`: schemathesis with all its checks over each dialect's document, in an installation of its own."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import SEEDS, stock
from tests.installation import CHECKOUT, PYTHON, Installation

# Cases per operation and phase, unless the command line says otherwise. One worker: Python 3.11's parser, which
# hypothesis uses, fails at times in two threads.
DEFAULTS = ["--max-examples=40", "--workers=1"]
ENVIRONMENT = {"CORDBOARD_INTERNAL_HOSTS": "hooks.example.com", "CORDBOARD_DEDICATED_LINES_PER_ORGANIZATION": "9999"}
# What there is none of yet is missing in AgentPhone: the card of a new number, the webhook of a new agent.
LEFT_OUT = {"agentphone": ["--exclude-checks=ensure_resource_availability"]}
DOCUMENTS = {"inkbox": "/api/v1", "agentphone": "/v1", "contiguity": "/contiguity"}


def main(words: list[str]) -> int:
    named = [word for word in words if word in SEEDS]
    options = [word for word in words if word not in SEEDS]
    return max([_fuzzed(dialect, options) for dialect in named or SEEDS])


def _fuzzed(dialect: str, options: list[str]) -> int:
    """In an installation of its own: nothing is left as it was."""
    with Installation(env=ENVIRONMENT) as product:
        stock(product)
        return fuzz(product, dialect, options)


def fuzz(product: Installation, dialect: str, options: list[str]) -> int:
    """The exit code of schemathesis: 0 when nothing was found."""
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": f"tests.fuzz.{dialect}",
        "CORDBOARD_FUZZ": json.dumps(dataclasses.asdict(SEEDS[dialect](product))),
        "PYTHONPATH": str(CHECKOUT),
    }
    command = [
        PYTHON.with_name("schemathesis"),
        f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
        "run",
        f"{product.base_url}{DOCUMENTS[dialect]}/openapi.json",
        "--checks=all",
        *LEFT_OUT.get(dialect, []),
        "--generation-database=none",
        "--no-color",
        *DEFAULTS,
        *options,
    ]
    return subprocess.run(command, cwd=product.home, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
