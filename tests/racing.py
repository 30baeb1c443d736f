"""Deeds that begin at the same moment, each in a thread with a database connection of its own."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection


def at_once(deeds: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each deed returned, or the exception it raised, in the order given."""
    results: list[Any] = [None] * len(deeds)
    barrier = threading.Barrier(len(deeds))

    def run(index: int) -> None:
        try:
            barrier.wait(30)
            results[index] = deeds[index]()
        except Exception as raised:  # noqa: BLE001 - the test judges it
            results[index] = raised
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[index], daemon=True) for index in range(len(deeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "A thread did not end."
    return results


def failures(results: Sequence[Any]) -> list[BaseException]:
    return [result for result in results if isinstance(result, BaseException)]
