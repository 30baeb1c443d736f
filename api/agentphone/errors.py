"""What the AgentPhone dialect alone refuses: requests that its vendor's clients can make and we cannot serve."""

from core.errors import DomainError


class BadRequest(DomainError):
    """The request is not one that can be served."""

    status = 400
    code = "validation_error"
