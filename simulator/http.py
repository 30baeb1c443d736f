"""The HTTP surface: who may call, one shape for every error, and no answer before the journal is safe."""

import hmac
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from simulator.callbacks import Callbacks
from simulator.control import ControlApi
from simulator.network import Network
from simulator.provider import ProviderApi
from simulator.refusals import Refusal
from simulator.shelf import Shelf

logger = logging.getLogger(__name__)

LARGEST_BODY = 1024 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def application(
    network: Network, callbacks: Callbacks, shelf: Shelf, *, provider_token: str, control_token: str
) -> web.Application:
    """The whole application: /v1 for the provider token, /control for the control token, /healthz for anyone."""
    tokens = {"/v1/": provider_token, "/control/": control_token}
    app = web.Application(
        middlewares=[_one_error_shape, _bearer(tokens), _settled(network)], client_max_size=LARGEST_BODY
    )
    app.add_routes(ProviderApi(network, callbacks, shelf).routes())
    app.add_routes(ControlApi(network, callbacks, shelf).routes())
    app.add_routes([web.get("/healthz", _healthz)])
    return app


@web.middleware
async def _one_error_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return _error(refusal.status, refusal.code, refusal.message, retry_after=refusal.retry_after)
    except web.HTTPException as raised:
        return _error(raised.status, _CODES.get(raised.status, "bad_request"), f"{raised.reason}.")
    except Exception:
        logger.exception("A request failed.", extra={"path": request.path})
        return _error(500, "internal", "The network failed to handle this request.")


def _bearer(tokens: dict[str, str]) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        for prefix, token in tokens.items():
            if request.path.startswith(prefix) and not _holds(request, token):
                raise Refusal(401, "unauthorized", "A valid bearer token is required.")
        return await handler(request)

    return check


def _holds(request: web.Request, token: str) -> bool:
    given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
    return hmac.compare_digest(given, f"Bearer {token}".encode())


def _settled(network: Network) -> Middleware:
    @web.middleware
    async def settle(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        # Reads wait too: what one caller has seen must still be there after a crash.
        await network.journal.settle()
        return answer

    return settle


async def _healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _error(status: int, code: str, message: str, *, retry_after: float | None = None) -> web.Response:
    error = {"code": code, "message": message, "retry_after": retry_after}
    return web.json_response({"error": error}, status=status)
