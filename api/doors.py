"""The dialects that are spoken here, each behind its own paths."""

from dataclasses import dataclass

from api.agentphone.routes import api as agentphone
from api.contiguity.routes import api as contiguity
from api.errors import DialectAPI
from api.inkbox.routes import api as inkbox


@dataclass(frozen=True, slots=True)
class Door:
    """A dialect's API, where it is mounted, and the first words of all its paths."""

    name: str
    label: str
    api: DialectAPI
    mount: str
    roots: frozenset[str]
    # Its document is at `<reference>openapi.json`, its page at `<reference>docs`.
    reference: str


INKBOX = Door("inkbox", "Inkbox", inkbox, mount="api/", roots=frozenset({"api"}), reference="api/v1/")
AGENTPHONE = Door("agentphone", "AgentPhone", agentphone, mount="v1/", roots=frozenset({"v1"}), reference="v1/")
CONTIGUITY = Door(
    "contiguity",
    "Contiguity",
    contiguity,
    mount="",
    # Those of the published API, those of the Python client, and where the document is.
    roots=frozenset(
        {"send", "conversations", "numbers", "imessage", "history", "leases", "leased", "lease", "contiguity"}
    ),
    reference="contiguity/",
)
DOORS = (INKBOX, AGENTPHONE, CONTIGUITY)

_AT_ROOT = {root: door for door in DOORS for root in door.roots}


def door_at(path: str) -> Door | None:
    """The door that a request's path belongs to, whether or not anything is mounted there."""
    return _AT_ROOT.get(path.removeprefix("/").partition("/")[0])


def is_page(path: str) -> bool:
    """Whether the path is a page about an API: for people, with all that guards a page."""
    return any(path.startswith(f"/{door.reference}docs") for door in DOORS)
