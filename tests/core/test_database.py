"""Connections that are kept from one request to the next."""

import time

import psycopg
import pytest
from django.db import connection


@pytest.fixture
def kept() -> None:
    """As between two requests."""
    connection.ensure_connection()
    connection.health_check_enabled = True
    connection.health_check_done = False


@pytest.mark.django_db(transaction=True)
class TestAKeptConnection:
    def test_it_is_used_again_and_nothing_is_asked(self, kept: None) -> None:
        before = connection.connection
        with connection.cursor() as cursor:
            cursor.execute("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            assert "SELECT 1" not in cursor.fetchone()[0]
        assert connection.connection is before
        assert connection.is_usable()

    def test_one_that_the_server_ended_is_replaced_unseen(self, kept: None) -> None:
        former = connection.connection.info.backend_pid
        end(former)
        assert not connection.is_usable()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            assert cursor.fetchone()[0] != former

    def test_one_that_was_closed_here_is_not_usable(self) -> None:
        connection.ensure_connection()
        connection.connection.close()
        assert not connection.is_usable()
        connection.close()


def end(pid: int) -> None:
    """As a restart of PostgreSQL does."""
    parameters = connection.get_connection_params()
    ours = {"cursor_factory", "context", "prepare_threshold"}
    with psycopg.connect(**{name: value for name, value in parameters.items() if name not in ours}) as other:
        other.execute("SELECT pg_terminate_backend(%s, 3000)", [pid])
    time.sleep(0.1)
