"""What the AgentPhone dialect answers, as types: for its document alone. Views build their bodies from shapes."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """No answer holds a field that its type does not name."""

    model_config = ConfigDict(extra="forbid")


class Wrong(Answer):
    """One thing that is wrong with a request."""

    loc: list[str | int]
    msg: str
    type: str


class WrongField(Answer):
    field: str
    message: str
    type: str


class Error(Answer):
    message: str
    code: str
    type: str
    details: list[WrongField] | None = None


class Refusal(Answer):
    """Why a request was refused, in the shape that its Python client reads and in the documented one."""

    detail: str | list[Wrong]
    error: Error


class AgentNumber(Answer):
    id: str
    phoneNumber: str  # noqa: N815 - the vendor's words
    status: str
    type: str


class Agent(Answer):
    id: str
    name: str
    description: str | None
    numbers: list[AgentNumber]
    createdAt: datetime  # noqa: N815


class Agents(Answer):
    data: list[Agent]
    hasMore: bool  # noqa: N815
    total: int


def answers(status: int, answer: Any, *refusals: int) -> dict[int, Any]:
    """The answers of an operation: its good one, and its refusals beside those that any request may meet."""
    return {status: answer} | dict.fromkeys(sorted({400, 401, 422, 503, *refusals}), Refusal)
