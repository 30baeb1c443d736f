"""The short way for programs: the APIs and providers' callbacks, past what only people's pages need.

Their bodies are small and are read before a thread is taken; their answers are whole. So the request changes threads
once each way, where a2wsgi does so for each piece, and passes two middlewares instead of all.
"""

import asyncio
import io
from concurrent.futures import Executor
from typing import Any

from a2wsgi.wsgi import build_environ
from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.utils.module_loading import import_string

from api.doors import door_at, is_page

_CALLBACKS = "/callbacks/"

# Larger ones are streamed to a thread, as uploads are.
LARGEST_BODY = 256 * 1024


class Programs:
    """The ASGI application for requests that `takes` says it takes; `threads` do the work."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._handler = _Handler()

    def takes(self, scope: dict[str, Any]) -> bool:
        """Whether this is a program's request with a small body or none."""
        path = scope["path"]
        if not (path.startswith(_CALLBACKS) or door_at(path)) or is_page(path):
            return False
        headers = dict(scope["headers"])
        # The server has seen to it that the length is a number, and is not exceeded.
        return b"transfer-encoding" not in headers and int(headers.get(b"content-length", 0)) <= LARGEST_BODY

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        environ = build_environ(scope, io.BytesIO(body))  # type: ignore[arg-type]  # as WSGI knows it
        loop = asyncio.get_running_loop()
        start, content = await loop.run_in_executor(self._threads, self._answer, environ)
        await send(start)
        await send({"type": "http.response.body", "body": content})

    def _answer(self, environ: Any) -> tuple[dict[str, Any], bytes]:
        start: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            start.update(
                type="http.response.start",
                status=int(status[:3]),
                headers=[(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            )

        response = self._handler(environ, start_response)  # type: ignore[arg-type]  # Django gives it no more
        try:
            return start, b"".join(response)
        finally:
            response.close()


class _Handler(WSGIHandler):
    """Django's own, with `PROGRAM_MIDDLEWARE`, of which none looks at views, templates or exceptions."""

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        handler: Any = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]  # not in its stubs
        for path in reversed(settings.PROGRAM_MIDDLEWARE):
            handler = convert_exception_to_response(import_string(path)(handler))
        self._middleware_chain = handler
