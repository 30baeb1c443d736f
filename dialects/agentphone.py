"""AgentPhone's words for our canonical shapes and error codes (contract/agentphone.md). Pure functions."""

from collections.abc import Mapping
from typing import Any

from core.ids import prefixed

Shape = Mapping[str, Any]

# --- Errors (section 3)

# Ours that its clients know by another word; the others are said in capitals.
_ERROR_CODES = {
    "invalid": "VALIDATION_ERROR",
    "json_invalid": "VALIDATION_ERROR",
    "too_soon": "RATE_LIMIT_EXCEEDED",
    "send_cap_reached": "RATE_LIMIT_EXCEEDED",
    "upstream_failed": "CARRIER_ERROR",
}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    422: "validation_error",
    429: "rate_limit_error",
}
# Who may not be written to is forbidden there: its clients take a 404 for a mistyped id (section 13, row 3).
_STATUSES = {"awaiting_inbound": 403}


def status_of(code: str, status: int) -> int:
    """Its status for one of our error codes."""
    return _STATUSES.get(code, status)


def error_body(*, status: int, code: str, message: str, facts: Shape) -> dict[str, Any]:
    """Both of its shapes: `detail`, which its Python client reads, and the documented `error`."""
    if status == 422:
        return invalid_body([{"type": code, "loc": facts.get("loc", ["body"]), "msg": message}])
    return {"detail": message, "error": _error(status, code, message)}


def invalid_body(errors: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of a 422: a list under `detail`, and the same by field under `error`."""
    detail = [{name: error.get(name) for name in ("loc", "msg", "type")} for error in errors]
    details = [{"field": _field(error["loc"]), "message": error["msg"], "type": error["type"]} for error in detail]
    words = "; ".join(f"{found['field']}: {found['message']}" for found in details)
    return {"detail": detail, "error": {**_error(422, "invalid", words), "details": details}}


def rate_limit_headers(facts: Shape) -> dict[str, str]:
    """`X-RateLimit-Reset`, which its TypeScript client waits for, beside what it says of."""
    names = {"limit": "X-RateLimit-Limit", "remaining": "X-RateLimit-Remaining", "reset": "X-RateLimit-Reset"}
    return {header: str(facts[name]) for name, header in names.items() if name in facts}


def _error(status: int, code: str, message: str) -> dict[str, Any]:
    word = "RATE_LIMIT_EXCEEDED" if status == 429 else _ERROR_CODES.get(code, code.upper())
    return {"message": message, "code": word, "type": _ERROR_TYPES.get(status, "api_error")}


def _field(loc: list[str | int] | None) -> str:
    return ".".join(str(part) for part in (loc or [])[1:]) or "body"


def page(rows: list[dict[str, Any]], *, has_more: bool, total: int | None = None) -> dict[str, Any]:
    """A part of a list; those that are read by cursor have no total."""
    return {"data": rows, "hasMore": has_more, **({} if total is None else {"total": total})}


# --- Agents (section 9)


def agent(shape: Shape) -> dict[str, Any]:
    """An agent: an identity with its numbers."""
    return {
        "id": prefixed("agt", shape["id"]),
        "name": shape["display_name"],
        "description": shape["description"],
        "numbers": [],
        "createdAt": shape["created_at"],
    }
