"""An endpoint on loopback that the operator allows, and a courier whose connection does not outlive the test."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.webhooks.endpoints import Endpoint, endpoint
from webhooks import courier


@pytest.fixture(autouse=True)
def loopback_allowed(settings: Any) -> None:
    settings.INTERNAL_HOSTS = ["127.0.0.0/8"]


@pytest.fixture
def courier_at_home() -> Iterator[None]:
    """The courier's thread has a connection of its own: closed, so that the database can be emptied."""
    yield
    courier.close_connection()


@pytest.fixture
def there() -> Iterator[Endpoint]:
    """A healthy endpoint."""
    with endpoint() as healthy:
        yield healthy
