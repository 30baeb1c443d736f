"""The pages of long work, exports and saved views: what each person sees, may do and takes out."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Identity, User
from console.models import Job, SavedView
from console.views.threads import THREADS
from console.work import DEEDS, Deed
from console.work.ending import forget_old_exports
from console.work.running import run_job
from core.actor import Actor
from core.errors import Conflict
from events.models import Event
from imessage.models import Conversation
from tests import make

LIST = "/console/threads/"
BEGIN = "/console/jobs/new/"
EXPORT = "/console/jobs/export/"


def _wave(actor: Actor, row: Conversation, options: Mapping[str, Any]) -> str:
    if row.human == make.OTHER_HUMAN:
        raise Conflict("This one waves to nobody.")
    return "Waved"


@pytest.fixture
def wave() -> Iterator[Deed]:
    """An outward deed that exists in tests only."""
    yield Deed(name="wave", label="Wave", spec=THREADS, grade=3, perform=_wave)
    del DEEDS["wave"]


def run(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(held_until=timezone.now())
    run_job(job.pk)
    job.refresh_from_db()
    return job


def begin(client: Client, **fields: str) -> Job:
    given = {"list": "threads", "query": "", "deed": "wave", "all": "1", "confirmed": "1", **fields}
    answer = client.post(BEGIN, given)
    assert answer.status_code == 302, answer.content
    return Job.objects.get(pk=answer["Location"].split("/")[-2])


def test_it_is_shown_before_it_begins(as_alice: Client, conversation: Conversation, wave: Deed) -> None:
    page = as_alice.post(BEGIN, {"list": "threads", "query": "?state=active", "deed": "wave", "all": "1"})
    assert page.status_code == 200
    assert b"Wave 1 thread" in page.content
    assert b"Connection: Active" in page.content
    assert not Job.objects.exists()


def test_a_job_page_tells_all(as_alice: Client, identity: Identity, wave: Deed) -> None:
    make.make_conversation(identity, make.HUMAN)
    make.make_conversation(identity, make.OTHER_HUMAN)
    job = begin(as_alice, reason="To be polite")
    assert b"Cancel" in as_alice.get(f"/console/jobs/{job.id}/").content
    run(job)
    page = as_alice.get(f"/console/jobs/{job.id}/").content.decode()
    for expected in ("Wave 2 threads", "alice@example.com", "All threads", "To be polite", "This one waves to nobody."):
        assert expected in page
    assert page.index("waves to nobody") < page.index("Waved</td>")
    assert b"waves to nobody" not in as_alice.get(f"/console/jobs/{job.id}/?result=done").content
    table = b"".join(as_alice.get(f"/console/jobs/{job.id}/failures.csv")).decode()  # type: ignore[arg-type]
    assert table.splitlines()[1].endswith('"failed","This one waves to nobody."')
    assert b"Wave 2 threads" in as_alice.get("/console/jobs/").content


def test_its_buttons_work_without_script(as_alice: Client, conversation: Conversation, wave: Deed) -> None:
    job = begin(as_alice)
    run_job(job.pk)
    assert as_alice.post(f"/console/jobs/{job.id}/pause/", follow=True).content.count(b"The job is held.") == 1
    assert as_alice.post(f"/console/jobs/{job.id}/cancel/").status_code == 302
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_viewers_look_and_strangers_do_not(
    as_alice: Client, as_bob: Client, as_charlie: Client, conversation: Conversation, wave: Deed
) -> None:
    job = begin(as_alice)
    assert as_bob.get(f"/console/jobs/{job.id}/").status_code == 200
    assert as_bob.post(f"/console/jobs/{job.id}/cancel/").status_code == 403
    assert as_bob.post(BEGIN, {"list": "threads", "deed": "wave", "all": "1"}).status_code == 403
    assert as_charlie.get(f"/console/jobs/{job.id}/").status_code == 404
    assert as_charlie.post(f"/console/jobs/{job.id}/cancel/").status_code == 404


def test_nothing_selected_and_odd_filters_begin_nothing(
    as_alice: Client, conversation: Conversation, wave: Deed
) -> None:
    for fields in ({"all": ""}, {"query": "?nonsense=1"}, {"all": "", "id": "no id"}):
        answer = as_alice.post(
            BEGIN, {"list": "threads", "deed": "wave", "all": "1", "confirmed": "1", **fields}, follow=True
        )
        assert answer.status_code == 200
    assert not Job.objects.exists()


# --- Exports


def export(client: Client, **fields: str) -> Job:
    answer = client.post(EXPORT, {"list": "threads", "query": "", "format": "csv", **fields})
    return run(Job.objects.get(pk=answer["Location"].split("/")[-2]))


def fetch(client: Client, job: Job) -> Any:
    return client.get(f"/console/jobs/{job.id}/file/")


@pytest.mark.django_db
def test_an_export_holds_what_the_list_shows(
    as_alice: Client, identity: Identity, charlies_conversation: Conversation, media: None
) -> None:
    make.make_conversation(identity, make.HUMAN)
    make.make_conversation(connection=make.make_connection(identity, make.OTHER_HUMAN, status="released"))
    job = export(as_alice, query="?state=active")
    answer = fetch(as_alice, job)
    lines = b"".join(answer).decode().splitlines()
    assert len(lines) == 2
    # A number begins with +, which a spreadsheet would compute.
    assert lines[1].startswith('"\'+15555550123",')
    assert '"helper","active"' in lines[1]
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert list(Event.objects.filter(subject_id=str(job.id)).values_list("type", flat=True).order_by("number")) == [
        "job.started",
        "job.begun",
        "job.progressed",
        "job.ended",
        "job.downloaded",
    ]


def test_json_lines_are_values_under_names(as_alice: Client, conversation: Conversation, media: None) -> None:
    line = json.loads(b"".join(fetch(as_alice, export(as_alice, format="jsonl"))))
    assert (line["human"], line["identity"], line["messages"]) == (make.HUMAN, "helper", 0)
    assert line["last_at"].endswith("Z")


def test_a_viewer_gets_numbers_masked_and_nobody_elses_file(
    as_alice: Client, as_bob: Client, conversation: Conversation, media: None
) -> None:
    job = export(as_bob)
    assert make.HUMAN.encode() not in b"".join(fetch(as_bob, job))
    assert fetch(as_bob, export(as_alice)).status_code == 403


def test_a_file_is_deleted_after_a_week(as_alice: Client, conversation: Conversation, media: None) -> None:
    job = export(as_alice)
    Job.objects.update(file_until=timezone.now() - timedelta(seconds=1))
    assert forget_old_exports() == 1
    assert fetch(as_alice, job).status_code == 404
    assert b"kept for seven days" in as_alice.get(f"/console/jobs/{job.id}/").content


@pytest.fixture
def media(settings: Any, tmp_path: Any) -> None:
    """A storage of this test's own."""
    settings.STORAGES = settings.STORAGES | {
        "media": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path)},
        }
    }


# --- Saved views


def save(client: Client, name: str, query: str, **fields: str) -> Any:
    return client.post("/console/views/new/", {"list": "threads", "name": name, "query": query, **fields}, follow=True)


def tabs(client: Client) -> dict[str, str]:
    return {tab.label: tab.url for tab in client.get(LIST).context["listing"].tabs}


def test_a_shared_view_is_everybodys_and_an_own_one_is_not(
    as_alice: Client, as_bob: Client, as_charlie: Client, as_operator: Client, identity: Identity
) -> None:
    save(as_alice, "Gone", "?state=released")
    save(as_alice, "Ours", "?state=active&identity=helper", shared="1")
    assert {"Gone", "Ours"} <= set(tabs(as_alice))
    assert tabs(as_bob)["Ours"] == f"{LIST}?identity=helper&state=active"
    assert "Gone" not in tabs(as_bob)
    assert "Ours" not in tabs(as_charlie)
    assert "Ours" not in tabs(as_operator)


def test_a_view_is_opened_by_its_slug(as_alice: Client, as_charlie: Client, conversation: Conversation) -> None:
    save(as_alice, "Only gone", "?state=released")
    assert as_alice.get(f"{LIST}?view=only-gone").context["rows"] == []
    listing = as_charlie.get(f"{LIST}?view=only-gone").context["listing"]
    assert [chip.words for chip in listing.chips] == ["only-gone is no view of this list"]


def test_views_are_renamed_and_deleted_by_their_maker(as_alice: Client, as_bob: Client, identity: Identity) -> None:
    save(as_bob, "Mine", "?state=released")
    view = SavedView.objects.get()
    assert as_alice.post(f"/console/views/{view.id}/", {"name": "Hers"}).status_code == 404
    as_bob.post(f"/console/views/{view.id}/", {"name": "Still mine"})
    assert b"Still mine" in as_bob.get("/console/views/").content
    as_bob.post(f"/console/views/{view.id}/delete/")
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("name", ["", "!!!", "Live", "x" * 61, "Mine"])
def test_a_name_that_is_none_or_taken_is_refused(as_alice: Client, identity: Identity, name: str) -> None:
    save(as_alice, "Mine", "?state=released")
    save(as_alice, name, "?state=active")
    assert SavedView.objects.count() == 1


def test_a_viewer_does_not_share(as_bob: Client, bob: User) -> None:
    assert save(as_bob, "Ours", "?state=active", shared="1").status_code == 403
