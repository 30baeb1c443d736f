"""The document is what the code says, its page renders under our policy, and its words are those that are sent."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from api.document import document
from api.doors import DOORS, INKBOX, Door

KEPT = Path(__file__).resolve().parents[2] / "docs" / "reference"

every_door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)


@every_door
def test_the_kept_document_is_the_present_one(door: Door) -> None:
    """After a change of the API: python manage.py openapi --dialect X > docs/reference/openapi-X.json."""
    name = "openapi.json" if door is INKBOX else f"openapi-{door.name}.json"
    assert json.loads((KEPT / name).read_text()) == document(door)


@every_door
def test_the_document_is_served_to_everybody(client: Client, door: Door) -> None:
    response = client.get(f"/{door.reference}openapi.json")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert response.json() == document(door)


@every_door
def test_every_operation_has_an_id_a_summary_and_its_errors(door: Door) -> None:
    operations = [operation for path in document(door)["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"].endswith(".")
        assert operation["tags"]
        assert {"400", "401", "503"} <= operation["responses"].keys()


@every_door
def test_a_path_allows_the_methods_that_are_documented(client: Client, door: Door) -> None:
    told = {path: client.options(_filled(path)) for path in document(door)["paths"]}
    assert {path: set(answer["Allow"].split(", ")) for path, answer in told.items()} == {
        path: {method.upper() for method in operations} for path, operations in document(door)["paths"].items()
    }


@every_door
@pytest.mark.django_db
def test_nothing_is_answered_without_a_key(client: Client, door: Door) -> None:
    asked = [(method, path) for path, operations in document(door)["paths"].items() for method in operations]
    assert {pair: client.generic(pair[0].upper(), _filled(pair[1])).status_code for pair in asked} == dict.fromkeys(
        asked, 401
    )


@pytest.mark.parametrize(
    ("door", "schema"),
    [("contiguity", "TextRow"), ("contiguity", "SingleMessage"), ("agentphone", "NumberMessage")],
)
def test_a_sender_is_documented_under_the_name_that_is_sent(door: str, schema: str) -> None:
    (found,) = [document(one) for one in DOORS if one.name == door]
    assert "from" in found["components"]["schemas"][schema]["properties"]


@every_door
@pytest.mark.django_db
def test_the_page_shows_every_operation_without_inline_script_or_style(
    client: Client, settings: Any, door: Door
) -> None:
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    response = client.get(f"/{door.reference}docs")
    shown = response.content.decode()
    assert response.status_code == 200
    for inline in ("style=", "<style", "<script>", " onclick"):
        assert inline not in shown
    for path in document(door)["paths"]:
        assert path in shown


def _filled(path: str) -> str:
    return re.sub(r"{\w+}", "x", path)
