"""Files both ways: kept once, named by their content, shown to whoever holds a genuine link and to nobody else."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import Identity, Organization
from core.actor import Role
from core.errors import Forbidden, Invalid, TooLarge
from core.uploads import UPLOAD_LIMIT
from events.models import Event
from imessage import media
from imessage.draining import ConversationQueue
from imessage.errors import NoSuchMedia, NotEnabled, QuotaReached
from imessage.links import media_link
from imessage.models import Conversation, MediaFile, Message, Part
from imessage.receiving import apply_callback
from imessage.sending import send_message
from imessage.shapes import message_shape
from lines.models import Callback, ProviderAccount
from tests import make

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 20
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    """A media storage of the test's own."""
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = {**settings.STORAGES, "media": storage}
    return tmp_path


def upload(organization: Organization, content: bytes = PNG, name: str = "cat.png") -> MediaFile:
    return media.store_upload(
        make.admin_of(organization), name=name, declared_type="application/octet-stream", chunks=[content]
    )


def path_of(link: str) -> str:
    return link.partition("://")[2].partition("/")[2].join(["/", ""])


class TestUploading:
    def test_it_is_kept_under_a_random_name_with_the_type_of_its_content(
        self, organization: Organization, folder: Path
    ) -> None:
        file = upload(organization, name="../../etc/passwd\r\n.exe")
        assert (file.content_type, file.size, file.state) == ("image/png", len(PNG), "stored")
        assert file.sha256 == hashlib.sha256(PNG).hexdigest()
        assert file.name == "passwd.exe"
        assert [path.read_bytes() for path in folder.rglob("*") if path.is_file()] == [PNG]
        assert "passwd" not in file.path
        assert Event.objects.get(type="media.stored").organization_id == organization.id

    @pytest.mark.parametrize(
        ("chunks", "refusal"),
        [([], Invalid), ([b""], Invalid), ([b"x" * UPLOAD_LIMIT, b"y"], TooLarge)],
        ids=["nothing", "empty", "one byte too many"],
    )
    def test_empty_and_too_large_ones_are_refused(
        self, organization: Organization, folder: Path, chunks: list[bytes], refusal: type[Exception]
    ) -> None:
        with pytest.raises(refusal):
            media.store_upload(make.admin_of(organization), name="x", declared_type="", chunks=chunks)
        assert not list(folder.iterdir())
        assert not MediaFile.objects.exists()

    def test_ten_mebibytes_are_taken(self, organization: Organization) -> None:
        assert upload(organization, b"x" * UPLOAD_LIMIT).size == UPLOAD_LIMIT

    def test_a_viewer_may_not(self, organization: Organization) -> None:
        with pytest.raises(Forbidden):
            media.store_upload(make.admin_of(organization, role=Role.VIEWER), name="x", declared_type="", chunks=[PNG])

    def test_a_bound_key_uploads_for_its_identity_if_that_is_enabled(self, identity: Identity) -> None:
        actor = make.agent_of(identity)
        assert media.store_upload(actor, name="x", declared_type="", chunks=[PNG]).identity_id == identity.id
        Identity.objects.update(imessage_enabled=False)
        with pytest.raises(NotEnabled):
            media.store_upload(actor, name="x", declared_type="", chunks=[PNG])

    def test_the_quota_is_the_organizations(
        self, settings: Any, organization: Organization, other_organization: Organization
    ) -> None:
        settings.MEDIA_QUOTA = len(PNG) * 2 - 1
        upload(organization)
        with pytest.raises(QuotaReached):
            upload(organization)
        upload(other_organization)

    def test_a_request_is_cut_off_while_it_streams(self) -> None:
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + b"x" * (UPLOAD_LIMIT + 1)
        request: HttpRequest = RequestFactory().post(
            "/", body + b"\r\n--b--\r\n", content_type="multipart/form-data; boundary=b"
        )
        with pytest.raises(TooLarge):
            request.FILES  # noqa: B018 - reading them parses the body


@pytest.mark.django_db(transaction=True)
def test_parallel_uploads_never_exceed_the_quota(settings: Any, organization: Organization) -> None:
    settings.MEDIA_QUOTA = len(PNG) * 3
    refused: list[QuotaReached] = []

    def one() -> None:
        try:
            upload(organization)
        except QuotaReached as full:
            refused.append(full)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (MediaFile.objects.count(), len(refused)) == (3, 9)


class TestServing:
    def test_a_link_shows_the_file_and_lets_nothing_in_it_run(self, client: Client, organization: Organization) -> None:
        response = client.get(path_of(media.media_url(upload(organization, name='a"\u202eb.png'))))
        assert (response.status_code, response.getvalue()) == (200, PNG)
        wanted = {
            "Content-Type": "image/png",
            "Content-Length": str(len(PNG)),
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": "inline; filename=\"file.png\"; filename*=UTF-8''a%22b.png",
        }
        assert {name: response[name] for name in wanted} == wanted
        assert not response.cookies

    @pytest.mark.parametrize("content", [SVG, b"<html><script>1</script>", b"%PDF-1.7 <script>", b"plain words"])
    def test_what_may_be_a_page_is_only_a_download(
        self, client: Client, organization: Organization, content: bytes
    ) -> None:
        response = client.get(path_of(media.media_url(upload(organization, content, name="cat.png"))))
        assert response["Content-Disposition"].startswith("attachment;")
        assert response["Content-Type"].split(";")[0] in {
            "application/octet-stream",
            "application/pdf",
            "text/plain",
        }
        assert response["Content-Security-Policy"].startswith("sandbox")

    def test_a_changed_letter_anywhere_names_nothing(self, client: Client, organization: Organization) -> None:
        path = path_of(media.media_url(upload(organization)))
        start = len("/media/")
        for place in range(start, len(path)):
            changed = path[:place] + ("1" if path[place] != "1" else "2") + path[place + 1 :]
            assert client.get(changed).status_code == 404, changed

    def test_a_link_ends(self, client: Client, organization: Organization, settings: Any) -> None:
        settings.MEDIA_LINK_DAYS = -2
        assert client.get(path_of(media.media_url(upload(organization)))).status_code == 404

    def test_a_forgotten_file_is_gone(self, client: Client, organization: Organization, folder: Path) -> None:
        file = upload(organization)
        MediaFile.objects.update(expires_at=timezone.now())
        assert media.forget() == 1
        assert client.get(path_of(media.media_url(file))).status_code == 404
        assert not [path for path in folder.rglob("*") if path.is_file()]

    def test_a_key_that_is_shown_must_see_the_file(
        self, client: Client, organization: Organization, admin_key: str, agent_key: str, charlies_key: str
    ) -> None:
        path = path_of(media.media_url(upload(organization)))
        answers = {key: client.get(path, headers={"X-API-Key": key}).status_code for key in (admin_key, agent_key)}
        assert set(answers.values()) == {200}
        for key in (charlies_key, "revoked"):
            assert client.get(path, headers={"X-API-Key": key}).status_code == 404

    @pytest.mark.parametrize(
        ("asked", "status", "content"),
        [
            ("bytes=0-3", 206, PNG[:4]),
            ("bytes=5-", 206, PNG[5:]),
            ("bytes=-4", 206, PNG[-4:]),
            ("bytes=0-99999", 206, PNG),
            ("bytes=5-2", 416, b""),
            ("bytes=9999-", 416, b""),
            ("bytes=-0", 416, b""),
            ("bytes=0-1,3-4", 200, PNG),
            ("lines=1", 200, PNG),
        ],
    )
    def test_ranges(self, client: Client, organization: Organization, asked: str, status: int, content: bytes) -> None:
        response = client.get(path_of(media.media_url(upload(organization))), headers={"Range": asked})
        body = b"".join(response.streaming_content) if response.streaming else response.content
        assert (response.status_code, body) == (status, content)


class TestSending:
    def test_our_own_link_is_read_and_the_provider_gets_one_it_can_fetch(
        self, client: Client, conversation: Conversation
    ) -> None:
        make.make_message(conversation)
        file = upload(conversation.organization)
        message = send_message(
            make.agent_of(conversation.identity), conversation=conversation, media_urls=[media.media_url(file)]
        )
        part = Part.objects.get(message=message)
        assert (part.media_id, part.url) == (file.id, "")
        shown = message_shape(message)["media"]
        assert shown == [
            {
                "id": str(part.id),
                "url": media.media_url(file),
                "content_type": "image/png",
                "size": len(PNG),
                "part_index": 0,
            }
        ]
        head = ConversationQueue(conversation.id).head()
        assert head is not None
        assert client.get(path_of(head.media[0])).getvalue() == PNG

    def test_an_old_link_of_ones_own_still_names_the_file(self, conversation: Conversation, settings: Any) -> None:
        make.make_message(conversation)
        settings.MEDIA_LINK_DAYS = -2
        link = media.media_url(upload(conversation.organization))
        settings.MEDIA_LINK_DAYS = 7
        send_message(make.agent_of(conversation.identity), conversation=conversation, media_urls=[link])
        assert Message.objects.filter(direction="outbound").count() == 1

    def test_strangers_changed_and_spelled_differently_ones_are_refused(
        self, conversation: Conversation, other_organization: Organization
    ) -> None:
        make.make_message(conversation)
        foreign = media.media_url(upload(other_organization))
        own = media.media_url(upload(conversation.organization))
        for link in [foreign, foreign.replace("http:", "HTTP:"), own[:-1], f"{own}/"]:
            for actor in (make.agent_of(conversation.identity), make.operator()):
                with pytest.raises(NoSuchMedia):
                    send_message(actor, conversation=conversation, media_urls=[link])
        assert not Message.objects.filter(direction="outbound").exists()

    def test_another_identitys_upload_is_not_there_for_a_bound_key(self, conversation: Conversation) -> None:
        make.make_message(conversation)
        colleague = make.make_identity(conversation.organization)
        file = media.store_upload(make.agent_of(colleague), name="x", declared_type="", chunks=[PNG])
        with pytest.raises(NoSuchMedia):
            send_message(
                make.agent_of(conversation.identity), conversation=conversation, media_urls=[media.media_url(file)]
            )

    def test_any_other_url_is_the_providers_to_fetch(self, conversation: Conversation) -> None:
        make.make_message(conversation)
        url = "https://files.example.com/cat.png"
        send_message(make.agent_of(conversation.identity), conversation=conversation, media_urls=[url])
        assert Part.objects.get(kind="media").link == url


class Shelf:
    """A provider that keeps one file, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status, self.body = 200, PNG
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shelf.asked.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
                self.send_response(shelf.status)
                self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()
                self.wfile.write(shelf.body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def shelf(conversation: Conversation) -> Iterator[Shelf]:
    shelf = Shelf()
    ProviderAccount.objects.update(base_url=shelf.url)
    yield shelf
    shelf.server.shutdown()
    shelf.server.server_close()


def receive(conversation: Conversation, *urls: str) -> Message:
    """The human's photos, told by a callback and applied."""
    line = conversation.connection.line
    sent = [{"url": url, "content_type": "image/svg+xml", "size": 1} for url in urls]
    body = {
        "id": f"evt_{time.monotonic_ns()}",
        "type": "message.received",
        "data": {"line": line.address, "human": conversation.human, "message_id": "m-1", "text": "", "media": sent},
    }
    callback = Callback.objects.create(
        account=line.account, event_key=str(body["id"]), body=json.dumps(body).encode(), thread="t"
    )
    assert apply_callback(callback.id) == Callback.State.APPLIED
    return Message.objects.get(provider_handle="m-1")


class TestReceiving:
    def test_a_photo_is_fetched_once_and_shown_by_our_own_link(
        self, client: Client, conversation: Conversation, shelf: Shelf
    ) -> None:
        message = receive(conversation, f"{shelf.url}/v1/media/med_1")
        told = Event.objects.get(type="message.received").data["message"]["media"][0]["url"]
        assert shelf.url not in told
        file = MediaFile.objects.get()
        assert ProcrastinateJob.objects.filter(
            task_name="imessage.fetch_media", args={"file_id": str(file.id)}
        ).exists()
        assert media.fetch(file.id) == MediaFile.State.STORED
        assert media.fetch(file.id) is None
        assert len(shelf.asked) == 1
        assert shelf.asked[0]["authorization"] == "Bearer token"
        shown = message_shape(message)["media"][0]
        assert (shown["content_type"], shown["size"]) == ("image/png", len(PNG))
        for link in (told, shown["url"]):
            assert client.get(path_of(link)).getvalue() == PNG

    def test_several_make_a_carousel(self, conversation: Conversation, shelf: Shelf) -> None:
        message = receive(conversation, f"{shelf.url}/v1/media/1", f"{shelf.url}/v1/media/2")
        assert (message.message_type, MediaFile.objects.count()) == ("carousel", 2)

    def test_a_stranger_address_never_sees_the_providers_credentials(
        self, conversation: Conversation, shelf: Shelf, settings: Any
    ) -> None:
        settings.CORDBOARD_INTERNAL_HOSTS = []
        receive(conversation, f"{shelf.url}/elsewhere")
        media.fetch(MediaFile.objects.get().id)
        assert all("authorization" not in asked for asked in shelf.asked)

    @pytest.mark.parametrize(
        ("status", "state"), [(410, "failed"), (404, "pending"), (302, "failed"), (503, "pending"), (429, "pending")]
    )
    def test_only_what_may_pass_is_tried_again(
        self, conversation: Conversation, shelf: Shelf, status: int, state: str
    ) -> None:
        shelf.status = status
        receive(conversation, f"{shelf.url}/v1/media/1")
        file = MediaFile.objects.get()
        assert media.fetch(file.id) == state
        assert len(shelf.asked) == 1

    def test_it_gives_up_after_six_attempts(self, conversation: Conversation, shelf: Shelf) -> None:
        shelf.status = 503
        receive(conversation, f"{shelf.url}/v1/media/1")
        states = [media.fetch(MediaFile.objects.get().id) for _ in range(7)]
        assert states == ["pending"] * 5 + ["failed", None]
        assert Event.objects.filter(type="media.failed").count() == 1

    def test_too_large_ones_are_not_kept(
        self, client: Client, conversation: Conversation, shelf: Shelf, settings: Any, folder: Path
    ) -> None:
        settings.INBOUND_MEDIA_LIMIT = len(PNG) - 1
        message = receive(conversation, f"{shelf.url}/v1/media/1")
        assert media.fetch(MediaFile.objects.get().id) == MediaFile.State.FAILED
        assert not list(folder.iterdir())
        assert client.get(path_of(message_shape(message)["media"][0]["url"])).status_code == 404

    def test_a_link_that_is_too_long_costs_the_file_alone(self, conversation: Conversation) -> None:
        message = receive(conversation, "https://x.example/" + "u" * 3000)
        file = MediaFile.objects.get()
        assert (file.state, message.parts.get().media) == ("failed", file)
        assert media.fetch(file.id) is None

    def test_who_comes_too_early_waits_a_little(
        self, client: Client, conversation: Conversation, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("imessage.serving._WAITS_FOR", 0.0)
        message = receive(conversation, f"{shelf.url}/v1/media/1")
        response = client.get(path_of(message_shape(message)["media"][0]["url"]))
        assert (response.status_code, response["Retry-After"]) == (503, "2")

    def test_a_blocked_humans_photo_is_kept_and_hidden_from_the_agent(
        self, client: Client, conversation: Conversation, shelf: Shelf, agent_key: str, admin_key: str
    ) -> None:
        make.make_rule(conversation.identity, conversation.human)
        message = receive(conversation, f"{shelf.url}/v1/media/1")
        media.fetch(MediaFile.objects.get().id)
        path = path_of(message_shape(message)["media"][0]["url"])
        assert client.get(path, headers={"X-API-Key": admin_key}).status_code == 200
        assert client.get(path, headers={"X-API-Key": agent_key}).status_code == 404
        seen = Event.objects.visible_to(make.agent_of(conversation.identity)).values_list("type", flat=True)
        assert set(seen) == {"api_key.created"}


def test_forgetting_leaves_what_a_message_holds(conversation: Conversation) -> None:
    make.make_message(conversation)
    file = upload(conversation.organization)
    send_message(make.agent_of(conversation.identity), conversation=conversation, media_urls=[media.media_url(file)])
    MediaFile.objects.update(expires_at=timezone.now())
    assert media.forget() == 0
    assert media_link(file.id, file.content_type) == media.media_url(file)
