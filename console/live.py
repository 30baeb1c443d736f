"""Where the web process takes hold of the live pages: the socket's route, and the listener's start and stop."""

from typing import Any

from django.urls import path

from console.listening import listener
from console.sockets import ConsoleSocket

urlpatterns = [path("ws/console/", ConsoleSocket.as_asgi())]


def is_listening() -> bool:
    """Whether this process hears of events as they are committed."""
    return listener.listening


async def lifespan(receive: Any, send: Any) -> None:
    """Serve the ASGI lifespan of a web process: listen from its start to its end.

    A database that is away at the start is no reason not to start: the listener goes on trying.
    """
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            listener.start()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await listener.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
