from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.utils import timezone

from accounts.models import Identity
from imessage import media
from imessage.models import Conversation, MediaFile
from tests import make
from tests.api.conftest import Api

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100


def upload(api: Api, content: bytes = PNG, name: str = "cat.png", **headers: str) -> HttpResponse:
    file = SimpleUploadedFile(name, content, content_type="application/octet-stream")
    return api.client.post("/api/v1/imessage/media", {"file": file}, headers=headers)


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    own = {**settings.STORAGES["media"], "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = {**settings.STORAGES, "media": own}


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


class Watched(FileSystemStorage):
    """A storage that notes whether a transaction is open while it works."""

    inside: list[bool] = []

    def save(self, *args: Any, **kwargs: Any) -> str:
        self.inside.append(connection.in_atomic_block)
        return super().save(*args, **kwargs)

    def delete(self, name: str) -> None:
        self.inside.append(connection.in_atomic_block)
        super().delete(name)


@pytest.mark.django_db(transaction=True)
class TestTheStorage:
    """It may be far away: no transaction waits for it, and what the transaction refuses it does not keep."""

    @pytest.fixture(autouse=True)
    def watched(self, settings: Any, own_folder: None) -> None:
        settings.STORAGES["media"]["BACKEND"] = f"{__name__}.Watched"
        Watched.inside.clear()

    def test_no_transaction_is_open_while_it_works(self, agent: Api, identity: Identity) -> None:
        assert upload(agent, **{"Idempotency-Key": "k"}).status_code == 201
        assert Watched.inside == [False]

    @pytest.mark.parametrize(("content", "status"), [(PNG, 201), (PNG + b"x", 409)])
    def test_a_repetition_leaves_nothing(
        self, agent: Api, identity: Identity, tmp_path: Path, content: bytes, status: int
    ) -> None:
        upload(agent, **{"Idempotency-Key": "k"})
        assert upload(agent, content, **{"Idempotency-Key": "k"}).status_code == status
        assert (MediaFile.objects.count(), len(files_in(tmp_path))) == (1, 1)
        assert Watched.inside == [False, False, False]

    def test_a_refused_one_leaves_nothing(self, agent: Api, settings: Any, tmp_path: Path) -> None:
        settings.MEDIA_QUOTA = len(PNG) - 1
        assert upload(agent, **{"Idempotency-Key": "k"}).status_code == 413
        assert (MediaFile.objects.count(), files_in(tmp_path)) == (0, [])

    def test_one_whose_process_dies_is_forgotten_within_a_day(self, identity: Identity, tmp_path: Path) -> None:
        died = media.upload(make.agent_of(identity), name="x", declared_type="", chunks=[PNG])
        file = died.__enter__()
        assert (len(files_in(tmp_path)), file.expires_at < timezone.now() + timedelta(days=1)) == (1, True)
        MediaFile.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        assert (media.forget(), files_in(tmp_path)) == (1, [])


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
