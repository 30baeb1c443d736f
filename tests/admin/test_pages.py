"""Every table has its pages in Django admin, and none of them can change a row."""

from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib import admin as django_admin
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import ApiKey, User
from core.admin import COUNTED_AT_MOST, BigTableAdmin, BoundedPaginator, ReadOnlyAdmin
from events.models import Event
from imessage.models import Message
from tests import make
from tests.admin.conftest import SECRET

OURS = ["accounts", "events", "lines", "contactrules", "imessage", "webhooks", "api"]
MODELS = sorted(django_admin.site._registry, key=lambda model: model._meta.label)

# A list costs the session, the person, the count and the rows; filters by account one more.
MOST_QUERIES_OF_A_LIST = 7

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)


def _list(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _page(row: models.Model, deed: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{deed}", args=[row.pk])


def test_every_model_of_ours_is_shown() -> None:
    ours = {model for label in OURS for model in apps.get_app_config(label).get_models()}
    assert ours - set(MODELS) == set()


def test_only_read_only_pages_are_shown() -> None:
    assert [model for model, page in django_admin.site._registry.items() if not isinstance(page, ReadOnlyAdmin)] == []


def test_index_opens(admin: Client, db: None) -> None:
    assert admin.get("/admin/").status_code == 200


@every_model
def test_list_opens(admin: Client, fill: Callable[[], None], model: type[models.Model]) -> None:
    fill()
    assert model._default_manager.exists()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert admin.get(_list(model)).status_code == 200
    few = len(queries)
    fill()
    with CaptureQueriesContext(connection) as queries:
        assert admin.get(_list(model)).status_code == 200
    assert len(queries) == few <= MOST_QUERIES_OF_A_LIST, "the list asks once per row"


@every_model
def test_row_opens(admin: Client, fill: Callable[[], None], model: type[models.Model]) -> None:
    fill()
    response = admin.get(_page(model._default_manager.last()))
    assert response.status_code == 200
    assert 'name="_save"' not in response.text


@every_model
def test_search_takes_an_id_a_number_and_nonsense(
    admin: Client, fill: Callable[[], None], model: type[models.Model]
) -> None:
    fill()
    for words in ["0190f3c4-0000-7000-8000-000000000000", make.HUMAN, "'; --"]:
        assert admin.get(_list(model), {"q": words}).status_code == 200


@every_model
def test_nothing_is_added_changed_or_deleted(
    admin: Client, fill: Callable[[], None], model: type[models.Model]
) -> None:
    fill()
    row = model._default_manager.last()
    add = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
    for url in [add, _page(row), _page(row, "delete")]:
        assert admin.post(url, {"name": "changed"}).status_code == 403
    assert "delete_selected" not in admin.get(_list(model)).text


def test_a_message_is_found_by_its_conversation(admin: Client, fill: Callable[[], None]) -> None:
    fill()
    fill()
    conversation_id = Message.objects.latest("id").conversation_id
    rows = admin.get(_list(Message), {"q": str(conversation_id)}).context["cl"].result_list
    assert {row.conversation_id for row in rows} == {conversation_id}


def test_secrets_are_on_no_page(admin: Client, fill: Callable[[], None], admin_key: str) -> None:
    fill()
    secrets = [SECRET, ApiKey.objects.latest("created_at").secret_digest, User.objects.latest("date_joined").password]
    shown = [admin.get(_page(row)).text for model in MODELS for row in model._default_manager.all()]
    assert [secret for secret in secrets if any(secret in page for page in shown)] == []


def test_big_tables_are_not_counted_to_the_end(admin: Client, fill: Callable[[], None]) -> None:
    fill()
    assert issubclass(type(django_admin.site._registry[Event]), BigTableAdmin)
    with CaptureQueriesContext(connection) as queries:
        admin.get(_list(Event))
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counts
    assert all(f"LIMIT {COUNTED_AT_MOST}" in sql for sql in counts)


def test_count_stops(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.admin.COUNTED_AT_MOST", 2)
    for _ in range(3):
        make.make_organization()
    assert BoundedPaginator(make.make_organization().__class__.objects.order_by("name"), 50).count == 2
