"""`manage.py worker`: runs jobs until it is told to stop."""

import asyncio
import concurrent.futures
import logging
import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand
from procrastinate import App, exceptions, job_context
from procrastinate.contrib.django import app
from procrastinate.worker import Worker

logger = logging.getLogger(__name__)

_POLL_EVERY = 0.5
_HEARTBEAT_EVERY = 5.0
# Locked jobs wait for the poll unless woken: nothing else tells a worker that a lock was released.
_WAKE_AFTER = 0.02
_GRACE = 15.0
_TRY_AGAIN_AFTER = 1.0


class Command(BaseCommand):
    help = "Run jobs: texts in and out, probes, housekeeping. Stops after the current jobs on SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument(
            "--concurrency", type=int, default=settings.WORKER_CONCURRENCY, help="Jobs at a time (default %(default)s)."
        )
        parser.add_argument(
            "--slot",
            help="Name of this worker's place under a supervisor that never runs two in one place: "
            "a new worker there knows at once that the former is dead.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(_work(options["concurrency"], _Slot(options["slot"])))


class _Slot:
    """Remembers which worker last ran in this place, so that its jobs need not wait out its heartbeat."""

    def __init__(self, name: str | None) -> None:
        self.file: Path | None = settings.DATA_DIR / f"worker-{name}.id" if name else None
        self.worker_id = int(self.file.read_text()) if self.file and self.file.is_file() else None

    async def bury(self, worker_app: App) -> None:
        """Forget the former worker; its jobs become nobody's and `rescue_stalled_jobs` gives them away."""
        if self.worker_id is not None:
            await worker_app.job_manager.unregister_worker(self.worker_id)

    async def enter(self, worker: Worker, life: asyncio.Task[None]) -> None:
        """Note the new worker's id as soon as it has one."""
        while worker.worker_id is None and not life.done():
            await asyncio.sleep(0.01)
        self.worker_id = worker.worker_id
        if self.file and self.worker_id is not None:
            self.file.write_text(str(self.worker_id))


async def _work(concurrency: int, slot: _Slot) -> None:
    """Run a worker; when PostgreSQL went away, a new one as soon as it is back."""
    loop = asyncio.get_running_loop()
    # Synchronous jobs run cpu + 4 at a time whatever the worker's concurrency says, unless the executor is larger.
    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(concurrency, thread_name_prefix="job"))
    told_to_stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, told_to_stop.set)
    while not told_to_stop.is_set():
        try:
            await _run(concurrency, slot, told_to_stop)
        except (exceptions.ConnectorException, psycopg.Error) as gone:
            logger.warning("Lost the database; trying again", extra={"reason": type(gone).__name__})
        if not told_to_stop.is_set():
            await asyncio.sleep(_TRY_AGAIN_AFTER)


async def _run(concurrency: int, slot: _Slot, told_to_stop: asyncio.Event) -> None:
    """One worker's life: until it is told to stop, or loses the database."""
    connector = app.connector.get_worker_connector()  # type: ignore[attr-defined]
    with app.replace_connector(connector) as worker_app:
        async with worker_app.open_async():
            await slot.bury(worker_app)
            worker = worker_app._worker(
                concurrency=concurrency,
                fetch_job_polling_interval=_POLL_EVERY,
                update_heartbeat_interval=_HEARTBEAT_EVERY,
                stalled_worker_timeout=_HEARTBEAT_EVERY * 12,
                shutdown_graceful_timeout=_GRACE,
                delete_jobs="successful",
                install_signal_handlers=False,
                worker_middleware=[_wake_locked_jobs],
            )
            stopper = asyncio.create_task(_stop_when_told(worker, told_to_stop))
            life = asyncio.create_task(worker.run())  # type: ignore[no-untyped-call]
            try:
                await slot.enter(worker, life)
                await life
            finally:
                stopper.cancel()


async def _stop_when_told(worker: Worker, told_to_stop: asyncio.Event) -> None:
    await told_to_stop.wait()
    worker.stop()  # type: ignore[no-untyped-call]


async def _wake_locked_jobs(call_next: Any, context: job_context.JobContext, worker: Worker) -> Any:
    """After a job that held a lock, look for the next of that lock at once instead of at the next poll."""
    try:
        return await call_next()
    finally:
        if context.job.lock:
            asyncio.get_running_loop().call_later(_WAKE_AFTER, worker._new_job_event.set)
