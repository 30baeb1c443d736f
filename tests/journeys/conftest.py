"""One installation for each module, started by `bin/run`; agents driven by both of Inkbox's clients; humans."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.installation import Installation, waited
from tests.journeys.people import Agent, Human, Sdk

# The version of the seed documents, and the newest.
VERSIONS = ["0.4.7", "0.7.20"]


@pytest.fixture(scope="module")
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """As many web processes as the module's `WEB_PROCESSES` says."""
    with Installation(web=getattr(request.module, "WEB_PROCESSES", 1), prepared=True) as running:
        yield running


@pytest.fixture(scope="module")
def admin_key(installation: Installation) -> str:
    return installation.create_key(label="admin")


@dataclass
class Team:
    """An agent twice: as its own program sees it, and as the organization's admin does."""

    version: str
    agent: Agent
    admin: Agent

    @property
    def handle(self) -> str:
        return self.agent.handle


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def open_sdk(installation: Installation, version: str) -> Iterator[Callable[[str], Sdk]]:
    """Start a client with a key."""
    opened: list[Sdk] = []

    def open_one(key: str) -> Sdk:
        opened.append(Sdk(version, base_url=installation.base_url, key=key))
        return opened[-1]

    yield open_one
    for sdk in opened:
        sdk.close()


@pytest.fixture(scope="module")
def admin_sdk(open_sdk: Callable[[str], Sdk], admin_key: str) -> Sdk:
    return open_sdk(admin_key)


@pytest.fixture(scope="module")
def team(installation: Installation, version: str, open_sdk: Callable[[str], Sdk], admin_sdk: Sdk) -> Team:
    """An identity that the admin's client made, and its program with a key of its own."""
    handle = "agent-" + version.replace(".", "-")
    admin_sdk.call("create_identity", handle, display_name=f"Agent {version}", imessage_enabled=True)
    key = installation.create_key(identity=handle, label=handle)
    return Team(version, Agent(open_sdk(key), handle), Agent(admin_sdk, handle))


@pytest.fixture
def human(installation: Installation) -> Human:
    """A new human."""
    return Human(installation)


@pytest.fixture
def guest(team: Team, human: Human) -> Human:
    """The human, connected to the team's agent."""
    return human.connect(team.handle)


@pytest.fixture
def conversation(team: Team, guest: Human) -> str:
    """The id of the guest's conversation: `hello` was written, nothing else."""
    return begin(team.agent, guest)


def begin(agent: Agent, guest: Human) -> str:
    """Have a connected human say hello; the conversation's id."""
    guest.write("hello")
    return str(waited(lambda: agent.summary(guest), what="the conversation")["id"])


@pytest.fixture(scope="session")
def commons() -> Iterator[Installation]:
    """One installation for all files of vendors' calls; tests/conftest.py has them run by one worker."""
    with Installation(prepared=True) as running:
        yield running
