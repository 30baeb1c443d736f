"""The family of errors that a rule of the product raises; each surface renders them in exactly one place."""

from typing import Any


class DomainError(Exception):
    """Something the product refuses. The docstring of a subclass is its default sentence."""

    status = 400
    code = "refused"

    def __init__(self, message: str | None = None, *, retry_after: int | None = None, **fields: Any) -> None:
        """`fields` are facts a client needs, under the names of our canonical words; `retry_after` is in seconds."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.retry_after = retry_after
        self.fields = fields
        super().__init__(self.message)


class NotFound(DomainError):
    """Not found."""

    status = 404
    code = "not_found"


class Forbidden(DomainError):
    """This key or person may not do that."""

    status = 403
    code = "forbidden"


class Unauthenticated(DomainError):
    """Authentication is missing or wrong."""

    status = 401
    code = "unauthenticated"


class Invalid(DomainError):
    """The request is not valid."""

    status = 422
    code = "invalid"


class TooLarge(DomainError):
    """There is no room for so much."""

    status = 413
    code = "too_large"


class Conflict(DomainError):
    """The request conflicts with what is stored."""

    status = 409
    code = "conflict"


class TooSoon(DomainError):
    """That was done a moment ago; repeat after the time given."""

    status = 429
    code = "too_soon"


class Upstream(DomainError):
    """The line's provider did not take the call; nothing was done, so it is safe to repeat."""

    status = 502
    code = "upstream_failed"


class Busy(DomainError):
    """Too much is under way just now; repeat after the time given."""

    status = 503
    code = "busy"
