"""The reference pages name what the code has: every setting, command, event type and dependency, and nothing else."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGES = [
    "accounts",
    "api",
    "console",
    "contactrules",
    "cordboard",
    "core",
    "dialects",
    "events",
    "imessage",
    "lines",
    "webhooks",
]
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CHANGELOG.md"])

# Not settings: what Python and Django themselves read.
FOREIGN = {"DJANGO_SETTINGS_MODULE", "PATH"}

MODULES = ["cordboard.postgres", "cordboard.run", "cordboard.serve", "simulator"]


def read(page: str) -> str:
    return (DOCS / page).read_text()


def first_cells(text: str) -> list[str]:
    """What stands in backticks in the first cell of each table row."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


# --- Settings


def settings_read() -> set[str]:
    sources = [*SOURCES, ROOT / "manage.py", ROOT / "simulator/__main__.py", ROOT / "examples/first_agent.py"]
    found = {name for source in sources for name in _names_read(source.read_text())}
    found |= {
        name for source in (ROOT / "bin").iterdir() for name in re.findall(r"CORDBOARD_[A-Z_]+", source.read_text())
    }
    return {name.removesuffix("_FILE") for name in found} - FOREIGN


def _names_read(source: str) -> Iterator[str]:
    yield from re.findall(r"""\benv(?:\.\w+)?\(\s*["']([A-Z_]+)["']""", source)
    yield from re.findall(r"""environ(?:\.get\(|\[)\s*["']([A-Z_]+)["']""", source)
    yield from re.findall(r"""["']((?:CORDBOARD|SIMULATOR|INKBOX)_[A-Z_]+)["']""", source)


def test_every_setting_is_documented_once() -> None:
    documented = first_cells(read("reference/settings.md"))
    assert sorted(documented) == sorted(settings_read())


# --- Commands


def our_commands() -> dict[str, BaseCommand]:
    ours = {config.name for config in apps.get_app_configs() if (ROOT / config.name).is_dir()}
    return {name: load_command_class(app, name) for name, app in get_commands().items() if app in ours}


def section(heading: str) -> str:
    """The part of the commands' page below a heading, to the next one."""
    text = read("reference/commands.md").split(f"### `{heading}`\n", 1)[1]
    return re.split(r"^##", text, maxsplit=1, flags=re.MULTILINE)[0]


def test_every_manage_command_is_documented() -> None:
    documented = re.findall(r"^### `manage\.py (\w+)`", read("reference/commands.md"), re.MULTILINE)
    assert sorted(documented) == sorted(our_commands())


@pytest.mark.parametrize("name", sorted(our_commands()))
def test_every_option_of_a_manage_command_is_documented(name: str) -> None:
    command = our_commands()[name]
    own = _options(command.create_parser("manage.py", name).format_help())
    common = _options(BaseCommand().create_parser("manage.py", name).format_help())
    # --data is taken by `manage.py` itself; every command lists it.
    assert {option for option in own - common if f"`{option}" not in section(f"manage.py {name}")} == set()


def test_every_deed_of_the_phone_is_documented() -> None:
    help_text = our_commands()["phone"].create_parser("manage.py", "phone").format_help()
    deeds = set(re.findall(r"^    (\w+)  ", help_text, re.MULTILINE))
    assert {"text", "group", "tapback", "inbox", "read", "typing", "service"} == deeds
    documented = re.findall(r"^\| `(\w+)", section("manage.py phone"), re.MULTILINE)
    assert set(documented) == deeds


def test_every_bin_command_is_documented() -> None:
    present = {f"bin/{path.name}" for path in (ROOT / "bin").iterdir() if not path.name.startswith("_")}
    assert {name for name in first_cells(read("reference/commands.md")) if name.startswith("bin/")} == present


def test_bin_help_lists_every_command() -> None:
    listed = subprocess.run([ROOT / "bin/help"], capture_output=True, text=True, check=True).stdout
    assert sorted(line.split()[0] for line in listed.splitlines()) == sorted(
        f"bin/{path.name}" for path in (ROOT / "bin").iterdir() if not path.name.startswith("_")
    )


@pytest.mark.parametrize("module", MODULES)
def test_every_option_of_a_module_is_documented(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page = section("bin/run") if module == "cordboard.run" else _row(f"python -m {module}")
    assert {option for option in _options(done.stdout) if f"`{option}`" not in page} == set()


def _row(command: str) -> str:
    return next(line for line in read("reference/commands.md").splitlines() if line.startswith(f"| `{command}` |"))


def _options(help_text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", help_text)) - {"--help"}


# --- Events


# A statement that writes an event by itself names its type between quotes.
_WRITTEN = re.compile(r"'([a-z_]+\.[a-z_]+)'")


def events_recorded() -> set[str]:
    """The types given to `record(...)`, `tell(...)` and the like; an open end is closed by what a function is given."""
    sources = [path.read_text() for path in SOURCES]
    written = [_WRITTEN.findall(source) for source in sources if "INTO events_event" in source]
    return {type_ for source in sources for type_ in _types_in(ast.parse(source))}.union(*written)


def _types_in(tree: ast.Module) -> Iterator[str]:
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]:
        for call in _calls(function, {"record", "record_all", "tell", "tell_of_thread", "_tell", "_record"}):
            for argument in call.args:
                for text in ast.walk(argument):
                    if isinstance(text, ast.Constant) and re.fullmatch(r"[a-z_]+\.[a-z_]+", str(text.value)):
                        yield str(text.value)
                    if isinstance(text, ast.JoinedStr):
                        prefix = text.values[0]
                        # One that begins with what was given is found where it is given.
                        if isinstance(prefix, ast.Constant):
                            yield from (f"{prefix.value}{end}" for end in _given_to(tree, function.name))


def _given_to(tree: ast.Module, name: str) -> Iterator[str]:
    """The words and statuses that a function is called with by position, also by one that hands on its own."""
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _calls(node, {name})]:
        handed_on = {one.arg for one in function.args.args if one.arg in {"change", "status"}}
        arguments = [argument for call in _calls(function, {name}) for argument in call.args]
        if any(isinstance(argument, ast.Name) and argument.id in handed_on for argument in arguments):
            yield from _given_to(tree, function.name)
    for call in _calls(tree, {name}):
        for argument in call.args:
            if isinstance(argument, ast.Constant) and re.fullmatch(r"[a-z_]+", str(argument.value)):
                yield str(argument.value)
            if isinstance(argument, ast.Attribute) and ast.unparse(argument).startswith("Message.Status."):
                yield argument.attr.lower()


def _calls(tree: ast.AST, names: set[str]) -> list[ast.Call]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in names]


def test_every_event_type_is_documented_once() -> None:
    assert sorted(first_cells(read("reference/events.md"))) == sorted(events_recorded())


# --- Features


def features() -> dict[str, str]:
    """What stands in the last cell of each row of the matrix, by its feature."""
    rows = [line.strip("| ").split(" | ") for line in read("reference/features.md").splitlines() if line[:2] == "| "]
    return {cells[0]: cells[-1] for cells in rows if cells[0] != "Feature"}


def functions_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_feature_is_shown_by_tests_that_exist() -> None:
    matrix = features()
    shown = {
        feature: re.findall(r"\[`(test_\w+)`\]\(\.\./\.\./([\w/]+\.py)\)", cell) for feature, cell in matrix.items()
    }
    assert [feature for feature, tests in shown.items() if not tests] == []
    named = {(path, name) for tests in shown.values() for name, path in tests}
    assert [f"{path}::{name}" for path, name in sorted(named) if name not in functions_in(path)] == []


# --- Dependencies


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = [re.match(r"[A-Za-z0-9_-]+", requirement)[0] for requirement in wanted]  # type: ignore[index]
    assert sorted(first_cells(read("decisions/dependencies.md"))) == sorted(names)


# --- The pages themselves


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    broken = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert broken == []


def test_glossary_is_in_order() -> None:
    words = re.findall(r"^\| (\w[\w ]*) \| [A-Z]", read("reference/glossary.md"), re.MULTILINE)[1:]
    assert words == sorted(words, key=str.casefold)


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((DOCS / "decisions").glob("[0-9]*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
