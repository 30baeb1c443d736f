import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse

from accounts.models import Identity
from imessage.models import Conversation, MediaFile
from tests.api.conftest import Api

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100


def upload(api: Api, content: bytes = PNG, name: str = "cat.png", **headers: str) -> HttpResponse:
    file = SimpleUploadedFile(name, content, content_type="application/octet-stream")
    return api.client.post("/api/v1/imessage/media", {"file": file}, headers=headers)


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    media = {**settings.STORAGES["media"], "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = {**settings.STORAGES, "media": media}


def test_an_upload_can_be_sent(agent: Api, open_conversation: Conversation) -> None:
    response = upload(agent)
    assert response.status_code == 201
    made = response.json()
    assert (made["content_type"], made["size"]) == ("image/png", len(PNG))
    sent = agent.send({"conversation_id": str(open_conversation.id), "media_urls": [made["media_url"]]})
    assert sent.json()["message"]["media"][0]["content_type"] == "image/png"


@pytest.mark.parametrize(("size", "status"), [(0, 422), (10 * 1024**2 + 1, 413)])
def test_too_little_and_too_much_are_refused(agent: Api, identity: Identity, size: int, status: int) -> None:
    assert upload(agent, b"x" * size).status_code == status
    assert not MediaFile.objects.exists()


def test_a_missing_part_is_explained(agent: Api) -> None:
    response = agent.client.post("/api/v1/imessage/media", {"other": "x"})
    assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, ["file", "file"])


def test_a_disabled_identity_uploads_nothing(agent: Api) -> None:
    Identity.objects.update(imessage_enabled=False)
    assert upload(agent).status_code == 400


def test_a_repeated_upload_is_one_file(agent: Api, identity: Identity) -> None:
    first, again = (upload(agent, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.content == again.content
    assert MediaFile.objects.count() == 1
    assert upload(agent, PNG + b"x", **{"Idempotency-Key": "k"}).status_code == 409
