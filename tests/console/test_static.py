"""What is served to browsers: htmx as its authors released it, and little of our own."""

import gzip
import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

STATIC = Path(settings.BASE_DIR) / "static"
TEMPLATES = Path(settings.BASE_DIR) / "templates"
HTMX_4_0_1 = "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"


def test_htmx_is_the_released_file() -> None:
    assert hashlib.sha256((STATIC / "vendor/htmx-4.0.1.min.js").read_bytes()).hexdigest() == HTMX_4_0_1


def test_our_scripts_stay_under_15_kilobytes() -> None:
    """Acceptance 16: what a browser loads of them (docs/decisions/0011-the-size-of-scripts.md)."""
    loaded = {script.name: len(gzip.compress(script.read_bytes())) for script in (STATIC / "js").glob("*.js")}
    assert sum(loaded.values()) <= 15_000, loaded


def test_sheets_of_a_page_stay_under_40_kilobytes() -> None:
    """Acceptance 16: what each page of the console loads; the phone page is there in development only."""
    named = re.compile(r"css/[a-z]+\.css")
    frame = [(TEMPLATES / name).read_text() for name in ("layouts/document.html", "console/base.html")]
    everywhere = set(named.findall("".join(frame)))
    for template in (TEMPLATES / "console").rglob("*.html"):
        sheets = everywhere | (set(named.findall(template.read_text())) - {"css/phone.css"})
        assert sum((STATIC / sheet).stat().st_size for sheet in sheets) <= 40_000, (template.name, sheets)


def test_nothing_is_loaded_from_elsewhere() -> None:
    """Acceptance 16: our templates and sheets name no other host to load from; the content policy refuses it too."""
    loads = re.compile(
        r"""(?:src|srcset|poster)=["'](?:https?:)?//|<link[^>]+href=["'](?:https?:)?//|url\(["']?(?:https?:)?//"""
    )
    files = [*TEMPLATES.rglob("*.html"), *(STATIC / "css").glob("*.css"), *(STATIC / "js").glob("*.js")]
    assert [str(file) for file in files if loads.search(file.read_text())] == []
    policy = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    ours = {"'none'", "'self'", "blob:", "data:", f"ws://{urlsplit(settings.BASE_URL).netloc}"}
    assert {str(source) for sources in policy.values() for source in sources} <= ours


def test_colours_are_named_in_the_tokens_alone() -> None:
    for sheet in (STATIC / "css").glob("*.css"):
        if sheet.name != "tokens.css":
            assert "oklch(" not in sheet.read_text()
            assert "light-dark(" not in sheet.read_text()


def test_every_icon_that_is_named_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([a-z-]+)"', (STATIC / "icons.svg").read_text()))
    named = re.compile(r'(?:icon "|icon=")([a-z-]+)"')
    files = [*TEMPLATES.rglob("*.html"), *(Path(settings.BASE_DIR) / "console").rglob("*.py")]
    assert {name for file in files for name in named.findall(file.read_text())} <= drawn
