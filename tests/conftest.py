"""The standing cast: Alice (admin), Bob (viewer) and their agent; Charlie, a stranger, and his agent; one human."""

from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling

from accounts.models import Identity, Organization, User
from imessage.models import Conversation
from lines.models import Line
from tests import make
from tests.installation import forget_prepared
from tests.providers.scripted import forget_jobs

# What starts whole installations waits a lot: begun first, it leaves the small files to fill the gaps and the end.
_FIRST = ("browser", "reliability", "journeys", "launch", "webhooks")

# They share one installation, which costs more to start than all that they do with it.
_TOGETHER = {f"tests/journeys/test_{name}.py" for name in ("every_call", "agentphone", "contiguity", "three_dialects")}


class _Files(LoadFileScheduling):
    """A file goes to one worker as a whole, and so do those that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "together" if file in _TOGETHER else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """For `--dist loadfile` alone."""
    return _Files(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: 0 if item.path.parent.name in _FIRST else 1)


def pytest_unconfigure(config: pytest.Config) -> None:
    """What the workers shared goes with the last of them."""
    if not hasattr(config, "workerinput"):
        forget_prepared()


@pytest.fixture(autouse=True)
def no_jobs_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that commits is undone by a flush, which leaves the job queue's tables as they are."""
    marker = request.node.get_closest_marker("django_db")
    commits = marker is not None and marker.kwargs.get("transaction", False)
    if commits:
        request.getfixturevalue("transactional_db")
    yield
    if commits:
        forget_jobs()


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: Any) -> None:
    """People are made for almost every test, and hardly any of them types a password."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def organization(db: None) -> Organization:
    return make.make_organization("Acme")


@pytest.fixture
def other_organization(db: None) -> Organization:
    return make.make_organization("Charlie's")


@pytest.fixture
def alice(organization: Organization) -> User:
    return make.make_user(organization, "alice@example.com", role="admin", name="Alice")


@pytest.fixture
def bob(organization: Organization) -> User:
    return make.make_user(organization, "bob@example.com", role="viewer", name="Bob")


@pytest.fixture
def charlie(other_organization: Organization) -> User:
    return make.make_user(other_organization, "charlie@example.com", role="admin", name="Charlie")


@pytest.fixture
def operator(db: None) -> User:
    return make.make_user(None, "olga@example.com", name="Olga", is_superuser=True, is_staff=True)


@pytest.fixture
def identity(organization: Organization) -> Identity:
    """Alice's agent, enabled for iMessage."""
    return make.make_identity(organization, "helper", display_name="Helper")


@pytest.fixture
def charlies_identity(other_organization: Organization) -> Identity:
    """The stranger's agent."""
    return make.make_identity(other_organization, "stranger", display_name="Stranger")


@pytest.fixture
def admin_key(organization: Organization) -> str:
    return make.make_key(organization, label="admin")


@pytest.fixture
def agent_key(identity: Identity) -> str:
    return make.make_key(identity.organization, identity, label="agent")


@pytest.fixture
def charlies_key(other_organization: Organization) -> str:
    return make.make_key(other_organization, label="charlie")


@pytest.fixture
def router(db: None) -> Line:
    return make.make_router()


@pytest.fixture
def line(db: None) -> Line:
    """The pool line that carries the human's thread."""
    return make.make_line("+15555550101")


@pytest.fixture
def conversation(identity: Identity, line: Line, router: Line) -> Conversation:
    """The human's open conversation with Alice's agent; still without messages."""
    return make.make_conversation(connection=make.make_connection(identity, line=line))


@pytest.fixture
def charlies_conversation(charlies_identity: Identity) -> Conversation:
    """The same human's conversation with the stranger's agent, on another line."""
    return make.make_conversation(charlies_identity)
