"""Photos both ways, with both of Inkbox's clients: to a handset, and from one."""

import base64
import hashlib
import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.installation import Installation, waited
from tests.journeys.conftest import Team
from tests.journeys.people import Human, Refused

PHOTO = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 2000
SHA256 = hashlib.sha256(PHOTO).hexdigest()


def upload(team: Team, content: bytes = PHOTO) -> dict[str, object]:
    given = {"base64": base64.b64encode(content).decode()}
    return dict(team.agent.call("upload_imessage_media", content=given, filename="holiday.jpg"))


def fetched(url: str, **headers: str) -> tuple[int, str | None, bytes]:
    """Status, content type and body of a link, as an agent's program fetches it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", parts.path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    return response.status, response.getheader("Content-Type"), response.read()


def test_an_upload_arrives_whole_on_the_handset(team: Team, guest: Human, conversation: str) -> None:
    media = upload(team)
    assert (media["content_type"], media["size"]) == ("image/jpeg", len(PHOTO))
    sent = team.agent.call("send_imessage", conversation_id=conversation, media_urls=[media["media_url"]])
    assert [(item["url"], item["size"]) for item in sent["media"]] == [(media["media_url"], len(PHOTO))]
    arrived = waited(
        lambda: [m for bubble in guest.inbox() for m in bubble["media"] if "sha256" in m], what="the photo on the phone"
    )
    assert [(m["content_type"], m["size"], m["sha256"]) for m in arrived] == [("image/jpeg", len(PHOTO), SHA256)]


def test_a_handsets_photo_is_fetched_by_the_agent(
    installation: Installation, team: Team, guest: Human, conversation: str, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"  # its name lies about its content
    photo.write_bytes(PHOTO)
    installation.phone(guest.number, "text", "--to", f"@{team.handle}", "--media", str(photo), "look")

    def media() -> list[dict[str, object]]:
        return [m for message in team.agent.messages(conversation) for m in message["media"] or [] if m["size"]]

    (shown,) = waited(media, what="the photo in the list")
    assert (shown["content_type"], shown["size"]) == ("image/jpeg", len(PHOTO))
    assert fetched(str(shown["url"])) == (200, "image/jpeg", PHOTO)


def test_a_strangers_key_and_a_changed_link_get_nothing(installation: Installation, team: Team) -> None:
    url = str(upload(team)["media_url"])
    assert fetched(url)[0] == 200
    assert fetched(url, X_API_Key="ApiKey_nobody")[0] == 404
    assert fetched(url.replace("file.jpg", "file.png"))[0] == 404


@pytest.mark.parametrize(("size", "status"), [(0, 422), (10 * 1024 * 1024 + 1, 413)])
def test_an_empty_and_a_too_large_upload_are_refused(team: Team, size: int, status: int) -> None:
    with pytest.raises(Refused) as refused:
        upload(team, b"x" * size)
    assert refused.value.status == status
