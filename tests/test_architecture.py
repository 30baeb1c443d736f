"""What must stay true of the whole: arrows, doors, tenancy, migrations."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader

from core.actor import TenantQuerySet
from lines import providers
from lines.providers.base import Capabilities, Driver

ROOT = Path(__file__).parents[1]
OURS = ["accounts", "events", "lines", "contactrules", "imessage", "webhooks", "api", "console"]
PACKAGES = ["core", "accounts", "events", "dialects", "lines", "contactrules", "imessage", "webhooks", "api", "console"]

# Reads of surfaces that may do without `visible_to`, each with its reason.
DOORLESS = {
    "IdempotencyKey": "keyed by the actor's own scope; holds no row of a tenant",
    "Organization": "an actor's own, or for operators all",
    "Alert": "operators only; belongs to no tenant",
    "Incident": "operators only; belongs to no tenant",
    "LineReading": "operators only; belongs to no tenant",
    "Line": "operators only, or behind a route of the tenant's own",
    "ProviderAccount": "operators only",
    "Route": "the phone page of development, operators only",
    "RouterMessage": "operators only; belongs to no tenant",
    "Callback": "operators only; belongs to no tenant",
    "Dispatch": "operators only, of a message that is visible already",
    "JobItem": "read through a job that is visible",
    "Tapback": "prefetched onto messages that are visible already",
}

# Tenant tables that are read through a row of their own tenant and never listed by organization.
READ_THROUGH = {
    "RuleRevision": "identity",
    "RehearsalPerson": "rehearsal",
    "Tapback": "message",
    "TapbackChange": "message",
    "Membership": "user",
    "SigningKey": "identity",
    "Delivery": "subscription",
}


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in file.parts:
                yield file


def our_models() -> list[type[models.Model]]:
    return [model for model in apps.get_models() if model._meta.app_label in OURS]


def test_imports_point_down_the_list() -> None:
    checker = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([checker, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_import_hides_in_a_function() -> None:
    hidden = [
        f"{file.relative_to(ROOT)}:{inner.lineno}"
        for file in files(*PACKAGES, "simulator")
        for outer in ast.walk(ast.parse(file.read_text()))
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    # Django's own place for what must wait until the apps are loaded.
    assert [place for place in hidden if "/apps.py:" not in place] == []


def test_surfaces_read_through_visible_to_alone() -> None:
    reads = re.compile(r"\b([A-Z]\w+)\.objects\.(?!visible_to\b)(\w+)")
    found = [
        f"{file.relative_to(ROOT)}: {name}.objects.{method}"
        for file in files("api", "console")
        for name, method in reads.findall(file.read_text())
        if name not in DOORLESS
    ]
    assert found == []


@pytest.mark.parametrize("model", our_models(), ids=lambda model: model.__name__)
def test_tenant_tables_carry_their_organization_first(model: type[models.Model]) -> None:
    names = {field.name for field in model._meta.get_fields()}
    if not isinstance(model._default_manager.all(), TenantQuerySet) or model.__name__ in READ_THROUGH:
        return
    assert names & {"organization", "organization_id"}
    leads = [index.fields[0] for index in model._meta.indexes if index.fields]
    assert {"organization", "organization_id"} & set(leads)


@pytest.mark.parametrize("model", our_models(), ids=lambda model: model.__name__)
def test_a_model_with_an_organization_can_be_narrowed(model: type[models.Model]) -> None:
    names = {field.name for field in model._meta.get_fields() if isinstance(field, models.Field)}
    if names & {"organization", "organization_id"} and model.__name__ not in {"Membership", "TapbackChange", "Line"}:
        assert isinstance(model._default_manager.all(), TenantQuerySet)


def test_every_model_is_in_the_admin() -> None:
    assert [model.__name__ for model in our_models() if model not in admin.site._registry] == []


@pytest.mark.django_db
def test_migrations_are_complete_and_have_one_leaf_each() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    leaves = [app for app, _ in MigrationLoader(connection).graph.leaf_nodes()]
    assert [app for app in leaves if leaves.count(app) > 1] == []


@pytest.mark.parametrize("name", providers.names())
def test_drivers_have_one_face(name: str) -> None:
    driver = providers.driver_named(name)
    assert isinstance(driver, Driver)
    assert isinstance(driver.card, Capabilities)
    assert driver.name == name


def test_a_vendor_s_library_is_loaded_only_when_its_driver_is_first_used() -> None:
    """They take up to half a second each, and every process would pay it at its start."""
    vendors = re.compile(
        r"^\s*(?:from|import) (?:linq|twilio|sendblue_api|lines\.providers\.(?!base\b)\w+)\b", re.MULTILINE
    )
    drivers = [ROOT / "lines" / "providers" / name for name in providers.names()]
    allowed = {driver.with_suffix(".py") for driver in drivers} | {file for d in drivers for file in d.rglob("*.py")}
    found = {file for file in files(*PACKAGES, "cordboard") if vendors.search(file.read_text())}
    assert found - allowed == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    silent = [
        str(file.relative_to(ROOT))
        for file in files(package)
        if file.name not in {"__init__.py", "apps.py"} and not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert silent == []


def test_no_module_is_a_drawer() -> None:
    drawers = {"services.py", "utils.py", "helpers.py", "managers.py"}
    assert [str(file) for file in files(*PACKAGES, "cordboard", "simulator") if file.name in drawers] == []
