"""Why a request to an endpoint failed: our words for it, and what people read."""

from core.addresses import UNREACHABLE
from core.http import OutboundFailed, OutboundRefused

# Why no answer came; the last three read the same to tenants: nobody may map our network by their difference.
TIMEOUT, TLS, CLOSED, PROTOCOL, REFUSED = "timeout", "tls", "closed", "protocol", "refused"
HIDDEN = ("dns", "connect", "guarded")

# What was answered instead of a 2xx.
REDIRECT, LIMITED, GONE, CLIENT, SERVER = "redirect", "limited", "gone", "client", "server"

NO_ANSWER = (TIMEOUT, TLS, CLOSED, PROTOCOL, REFUSED, *HIDDEN)
ALL = (*NO_ANSWER, REDIRECT, LIMITED, GONE, CLIENT, SERVER)

_WORDS = {
    TIMEOUT: "No whole answer in time",
    TLS: "The TLS connection failed",
    CLOSED: "The connection was closed before a whole answer",
    PROTOCOL: "The answer was not valid HTTP",
    REFUSED: "The address may not be called",
    REDIRECT: "A redirect, which is not followed",
    LIMITED: "The endpoint asked us to slow down",
    GONE: "The endpoint says that it is gone",
    CLIENT: "The endpoint refused the request",
    SERVER: "The endpoint failed",
}
UNREACHABLE_WORDS = "The host could not be reached"
_EXACTLY = {
    "dns": "The host's name is unknown",
    "connect": "Nothing accepts connections there",
    "guarded": "The name leads to an address that may not be called",
}


def of_status(status: int) -> str:
    """Why an answer with this status is a failure; empty for a success."""
    if 200 <= status < 300:
        return ""
    exact = {410: GONE, 429: LIMITED}.get(status)
    return exact or {3: REDIRECT, 4: CLIENT}.get(status // 100, SERVER if status >= 500 else PROTOCOL)


def of_failure(failure: OutboundFailed | OutboundRefused) -> str:
    """Why no answer came."""
    if isinstance(failure, OutboundFailed):
        return failure.kind
    return HIDDEN[2] if failure.message == UNREACHABLE else REFUSED


def in_words(cause: str, *, exactly: bool = False) -> str:
    """A cause as people read it; `exactly` only for the installation's operators."""
    if cause in HIDDEN:
        return _EXACTLY[cause] if exactly else UNREACHABLE_WORDS
    return _WORDS.get(cause, "")
