"""What is served to browsers: htmx as its authors released it, and little of our own."""

import hashlib
from pathlib import Path

from django.conf import settings

STATIC = Path(settings.BASE_DIR) / "static"
HTMX_4_0_1 = "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"


def test_htmx_is_the_released_file() -> None:
    assert hashlib.sha256((STATIC / "vendor/htmx-4.0.1.min.js").read_bytes()).hexdigest() == HTMX_4_0_1


def test_sheets_stay_under_40_kilobytes() -> None:
    assert sum(sheet.stat().st_size for sheet in (STATIC / "css").glob("*.css")) < 40_000


def test_colours_are_named_in_the_tokens_alone() -> None:
    for sheet in (STATIC / "css").glob("*.css"):
        if sheet.name != "tokens.css":
            assert "oklch(" not in sheet.read_text()
            assert "light-dark(" not in sheet.read_text()
