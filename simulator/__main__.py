"""`python -m simulator --port N --data DIR`: runs the simulated phone network until SIGTERM or SIGINT."""

import argparse
import asyncio
import ipaddress
import logging
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from simulator.callbacks import Callbacks
from simulator.http import application
from simulator.journal import Journal, JournalError
from simulator.network import Network
from simulator.shelf import Shelf

PROVIDER_TOKEN = "SIMULATOR_PROVIDER_TOKEN"  # noqa: S105
CONTROL_TOKEN = "SIMULATOR_CONTROL_TOKEN"  # noqa: S105
# aiohttp waits this long twice: before it cancels the calls under way, and after.
GRACE = 1.0


def main() -> int:
    """Run; the exit code is 0 after a clean stop, 1 when the journal fails, 2 for a wrong start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options = _options()
    try:
        asyncio.run(run(options))
    except (JournalError, OSError) as fatal:
        sys.stderr.write(f"simulator: {fatal}\n")
        return 1
    return 0


async def run(options: argparse.Namespace) -> None:
    """Restore the network, serve it, and stop cleanly; raises `JournalError` when it cannot keep its promises."""
    journal = Journal(options.data / "journal.jsonl")
    network = Network(journal)
    network.restore()
    writing = asyncio.create_task(journal.write())
    callbacks = Callbacks(network)
    await callbacks.start()
    shelf = Shelf(options.data / "media", network)
    await shelf.start()
    app = application(
        network, callbacks, shelf, provider_token=options.provider_token, control_token=options.control_token
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE)
    try:
        await _serve(runner, options.host, options.port)
        await _until_stopped(writing)
        # With a dead journal nobody may be answered any more, so nothing is wound up.
        if not writing.done():
            network.end_waits()
            await runner.cleanup()
    finally:
        await shelf.stop()
        await callbacks.stop()
        journal.close()
    await writing


async def _serve(runner: web.AppRunner, host: str, port: int) -> None:
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    host, port = runner.addresses[0][:2]
    sys.stdout.write(f"Simulated phone network on http://{host}:{port}\n")
    sys.stdout.flush()


async def _until_stopped(writing: asyncio.Task[None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, writing], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one and prints it")
    parser.add_argument("--data", type=Path, required=True, help="folder of the journal")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1", help="a loopback address")
    options = parser.parse_args()
    options.provider_token = _secret(parser, PROVIDER_TOKEN)
    options.control_token = _secret(parser, CONTROL_TOKEN)
    return options


def _secret(parser: argparse.ArgumentParser, name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        parser.error(f"the environment variable {name} must hold a secret")
    return value


def _loopback(host: str) -> str:
    # It has no TLS and lets its callers be any human: never beyond this machine.
    if host == "localhost" or ipaddress.ip_address(host).is_loopback:
        return host
    raise argparse.ArgumentTypeError(f"{host} is not a loopback address")


if __name__ == "__main__":
    sys.exit(main())
