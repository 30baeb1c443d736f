"""A Mac that is stood in for, one for each module that asks for it."""

from collections.abc import Iterator

import pytest

from tests.lines.drivers.bluebubbles.running import Hand
from tests.lines.drivers.process import served


@pytest.fixture(scope="module")
def hand() -> Iterator[Hand]:
    with served("tests.lines.drivers.bluebubbles.server") as url:
        yield Hand(url)
