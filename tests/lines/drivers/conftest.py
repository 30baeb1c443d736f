"""Each driver's own rows of the shared cases."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per documented failure and per recorded callback of the driver's class."""
    for name, table in (("failure", "failures"), ("recorded", "recorded")):
        if name in metafunc.fixturenames:
            rows = getattr(metafunc.cls, table)
            metafunc.parametrize(name, rows, ids=[row.name for row in rows])
