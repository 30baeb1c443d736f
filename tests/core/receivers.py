"""Receivers on loopback that behave and misbehave: each connection is handed to a function with its socket."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Receiver:
    """A listener; `connections` counts who came, `ended` is set when the test is over."""

    port: int
    connections: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextlib.contextmanager
def raw(answer: Callable[[socket.socket, Receiver], None]) -> Iterator[Receiver]:
    """Calls `answer(connection, receiver)` in a thread of its own for each connection, and closes it afterwards."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    receiver = Receiver(listener.getsockname()[1])

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            answer(connection, receiver)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                receiver.connections += 1
                threading.Thread(target=serve, args=[connection], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.ended.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def answering(data: bytes) -> Callable[[socket.socket, Receiver], None]:
    """Reads the request's first bytes and answers with these, whatever was asked."""

    def answer(connection: socket.socket, receiver: Receiver) -> None:
        connection.recv(65_536)
        connection.sendall(data)

    return answer


def hang(connection: socket.socket, receiver: Receiver) -> None:
    """Reads and never answers."""
    connection.recv(65_536)
    receiver.ended.wait(60)


def drip(connection: socket.socket, receiver: Receiver) -> None:
    """A byte every tenth of a second, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not receiver.ended.wait(0.1):
        connection.sendall(b".")


def flood(connection: socket.socket, receiver: Receiver) -> None:
    """An answer of 1 GB."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x" * 1_000_000)


@contextlib.contextmanager
def web(handle: Callable[[http.server.BaseHTTPRequestHandler, bytes], int]) -> Iterator[Receiver]:
    """A real HTTP server: `handle(request, body)` returns the status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.connections += 1
            status = handle(self, body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 256

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.ended.set()
            server.shutdown()
