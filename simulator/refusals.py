"""Why the network says no: one exception that every layer raises and the HTTP surface alone presents."""


class Refusal(Exception):
    """A request that changes nothing, with the answer its caller gets.

    `status` is the HTTP status, `code` the stable word for programs, `message` one sentence for people,
    `retry_after` when to come back, in seconds.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status
        self.code = code
        self.message = message


def invalid(message: str) -> Refusal:
    """The request is well formed, but a value in it is not acceptable (422)."""
    return Refusal(422, "invalid", message)


def unknown(code: str, message: str) -> Refusal:
    """What the request names does not exist (404)."""
    return Refusal(404, code, message)
