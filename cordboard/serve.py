"""One web process: uvicorn on a port, or on a listening socket inherited from the supervisor.

With an inherited socket the port stays open while a web process is down: connections wait instead of being refused,
and several web processes share it.
"""

import argparse
import gc
import socket

import uvicorn

# A page sends a few small messages over its socket: what it shows, and "typing".
LARGEST_SOCKET_MESSAGE = 64 * 1024
GRACEFUL_SHUTDOWN = 10


def main() -> None:
    """`python -m cordboard.serve [--host H --port N | --fd N]`; serves until SIGTERM or SIGINT."""
    options = _options()
    config = _config(options.host, options.port)
    config.load()
    _settle_memory()
    server = uvicorn.Server(config)
    server.run(sockets=[socket.socket(fileno=options.fd)] if options.fd is not None else None)


def _config(host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        "cordboard.asgi:application",
        host=host,
        port=port,
        backlog=2048,
        lifespan="on",
        # Django's LOGGING speaks for uvicorn too.
        log_config=None,
        access_log=False,
        server_header=False,
        # Forwarded headers are believed only where Django is told to (CORDBOARD_BEHIND_PROXY).
        proxy_headers=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
        ws_max_size=LARGEST_SOCKET_MESSAGE,
        ws_ping_interval=20,
        ws_ping_timeout=20,
    )


def _settle_memory() -> None:
    """Spare the collector what stays for good.

    A full collection walked everything that was imported and stopped a request for a tenth of a second and more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cordboard.serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="number of an inherited listening socket")
    return parser.parse_args()


if __name__ == "__main__":
    main()
