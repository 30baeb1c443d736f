"""The phone page: there for operators of a development installation alone. What it shows of a running network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import Identity
from core.phones import pretty
from tests import make
from tests.simulator.running import Network

PHONE = "/console/phone/"
OWNED = "+15555550190"


@pytest.fixture
def _development(settings: Any) -> None:
    settings.DEVELOPMENT, settings.SIMULATOR_URL = True, "http://127.0.0.1:9"


@pytest.mark.parametrize("address", [PHONE, f"{PHONE}+15555550141/", f"{PHONE}+15555550141/screen/"])
def test_in_production_there_is_no_phone(as_operator: Client, settings: Any, address: str) -> None:
    settings.DEVELOPMENT = False
    assert as_operator.get(address).status_code == 404


@pytest.mark.usefixtures("_development")
def test_an_organizations_admin_has_no_phone(as_alice: Client) -> None:
    assert as_alice.get(PHONE).status_code == 404


@pytest.mark.usefixtures("_development")
def test_a_network_that_is_away_is_said_so(as_operator: Client) -> None:
    answer = as_operator.get(PHONE)
    assert (answer.status_code, b"does not answer" in answer.content) == (503, True)


@pytest.mark.usefixtures("_development")
def test_a_number_that_is_none_is_refused_in_words(as_operator: Client) -> None:
    page = as_operator.get(f"{PHONE}?number=12", follow=True).content.decode()
    assert "E.164" in page or "does not answer" in page


# --- On a network that runs


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(Path(tmp_path_factory.mktemp("network")))
    network.control("PUT", f"/lines/{OWNED}", {"kind": "dedicated"})
    yield network
    network.kill()


@pytest.fixture
def phone(network: Network, as_operator: Client, identity: Identity, settings: Any) -> Client:
    settings.DEVELOPMENT = True
    settings.SIMULATOR_URL, settings.SIMULATOR_CONTROL_TOKEN = network.url, "control-token"
    make.make_owned_line(identity, OWNED)
    return as_operator


def opened(phone: Client, name: str) -> str:
    """The address of a new group's thread on the phone."""
    form = {"members": f"{make.OTHER_HUMAN}, +15555550144", "name": name, "line": OWNED}
    return str(phone.post(f"{PHONE}{make.HUMAN}/groups/", form)["Location"])


def key_of(address: str) -> str:
    return address.rpartition("=")[2]


def test_a_group_shows_who_wrote_and_what_is_answered(phone: Client, network: Network, identity: Identity) -> None:
    address = opened(phone, "Trip")
    network.text_in("Where to?", human=make.OTHER_HUMAN, to=key_of(address))
    bubble = network.inbox(make.HUMAN)[-1]
    assert "Replying to" in phone.get(f"{address}&reply_to={bubble['id']}").content.decode()
    form = {"with": key_of(address), "text": "The sea!", "reply_to": bubble["id"], "effect": "slam"}
    phone.post(f"{PHONE}{make.HUMAN}/text/", form)
    page = phone.get(address).content.decode()
    assert f'<p class="bubble-who">{pretty(make.OTHER_HUMAN)}' in page
    assert f"<b>{pretty(make.OTHER_HUMAN)}</b> Where to?" in page
    assert "with slam" in page
    assert f"@{identity.handle}" in page


def test_a_group_is_named_joined_and_left(phone: Client, network: Network) -> None:
    address = opened(phone, "Team")
    change = {"with": key_of(address)}
    phone.post(f"{PHONE}{make.HUMAN}/group/", {**change, "name": "Crew", "add": "+15555550145"})
    assert "Crew" in (page := phone.get(address).content.decode())
    assert pretty("+15555550145") in page
    phone.post(f"{PHONE}{make.HUMAN}/group/", {**change, "remove": make.HUMAN})
    assert make.HUMAN not in network.v1("GET", f"/groups/{key_of(address)}").json()["members"]


def test_several_pictures_are_one_text(phone: Client, network: Network) -> None:
    files = [SimpleUploadedFile(f"{name}.png", b"picture", "image/png") for name in ("a", "b")]
    phone.post(f"{PHONE}{make.HUMAN}/text/", {"with": OWNED, "file": files})
    assert len(network.inbox(make.HUMAN, **{"with": OWNED})[-1]["media"]) == 2


@pytest.mark.parametrize(("kind", "status"), [("image/png", 200), ("image/svg+xml", 404)])
def test_a_background_is_shown_if_it_is_a_picture(phone: Client, network: Network, kind: str, status: int) -> None:
    network.text_in("hi", human=make.HUMAN, to=OWNED)
    headers = {"Authorization": "Bearer provider-token", "Content-Type": kind}
    file = network.http.post("/v1/media", content=kind.encode(), headers=headers).json()["id"]
    network.v1("PUT", "/threads/background", {"line": OWNED, "human": make.HUMAN, "media": file})
    behind = f"{PHONE}{make.HUMAN}/files/{file}/"
    assert behind in phone.get(f"{PHONE}{make.HUMAN}/?with=%2B{OWNED[1:]}").content.decode()
    assert phone.get(behind).status_code == status
