"""One port: HTTP to Django's WSGI handler in a fixed pool of threads, websockets to Channels.

Programs' requests go a short way to it. The WSGI side costs less than half of Django's ASGI handler per request
(architecture.md, section 8).
"""

import os
from typing import Any, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cordboard.settings")
django.setup()

from a2wsgi import WSGIMiddleware  # noqa: E402
from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

from console import live  # noqa: E402
from cordboard.programs import Programs  # noqa: E402

_http: Any = WSGIMiddleware(cast(Any, get_wsgi_application()), workers=settings.WEB_THREADS)
# The same threads: each has a connection to the database, and more of those than needed cost throughput.
_programs = Programs(_http.executor)
_sockets = ProtocolTypeRouter(
    {"websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(live.urlpatterns)))}
)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application of a web process."""
    if scope["type"] == "lifespan":
        await live.lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _sockets(scope, receive, send)
    elif scope["path"] == "/livez":
        await _alive(send)
    elif _programs.takes(scope):
        await _programs(scope, receive, send)
    else:
        await _http(scope, receive, send)


async def _alive(send: Any) -> None:
    """The process answers; nothing else is asked, so that a missing database never gets it killed."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"alive\n"})
