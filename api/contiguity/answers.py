"""What the Contiguity dialect answers, as types: for its document alone. Views build their bodies from shapes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model


class Answer(BaseModel):
    """No answer holds a field that its type does not name."""

    model_config = ConfigDict(extra="forbid")


class Metadata(Answer):
    """Of an answer: its id, when it was given in milliseconds, by which version, and whether it is an error."""

    id: str
    timestamp: int
    api_version: str
    object: Literal["response", "error"]


class Data(Answer):
    """The Python client looks for the metadata here."""

    metadata: Metadata


class RefusalData(Data):
    error: str
    status: int
    agreement_url: str | None = None


class Refusal(Metadata):
    """Why a request was refused."""

    data: RefusalData


class Sent(Data):
    message_id: str


class TypingStatus(Data):
    status: Literal["started", "stopped"]


class Done(Data):
    status: Literal["sent", "added", "removed"]
    message: str


class Step(Answer):
    event: str
    title: str
    timestamp: datetime


class SingleMessage(Data):
    id: str
    to: str
    sender: Annotated[str, Field(alias="from")]
    message: str
    timestamp: int
    status: Literal["delivered", "failed", "delayed"]
    attachments: list[str]
    tracking: list[Step] | None = None


class Delivery(Answer):
    status: Literal["delivered", "failed", "delayed"]
    delayed: bool
    timestamp: int


class Risk(Answer):
    auto_reported_as_spam: bool
    marked_as_spam: bool


class TextRow(Answer):
    """A message of a history; `from_` is its sender as a number, for the Python client."""

    to: str
    sender: Annotated[str, Field(alias="from")]
    from_: int
    message: str
    timestamp: int
    delivery: Delivery
    attachments: list[str]
    tracking: list[Step] | None = None


class Row(TextRow):
    read: Annotated[int, Field(description="When it was read; 0 while it is unread.")]
    risk: Risk


class Reaction(Answer):
    """A line of the log of reactions: each addition and each removal."""

    reaction: str
    on: str
    timestamp: int
    action: Literal["added", "removed"]
    sender: Annotated[str, Field(alias="from")]
    from_: str


class TextChat(Answer):
    limit: int
    total: int
    count: int


class Chat(TextChat):
    filtered: bool
    chat_marked_as_spam: bool


class History(Data):
    conversation: list[Row]
    reactions: list[Reaction]
    chat: Chat


class TextHistory(Data):
    conversation: list[TextRow]
    reactions: list[Reaction]
    chat: TextChat


class Available(Data):
    available: bool


class Formats(Answer):
    e164: str
    formatted: str


class Location(Answer):
    country: str
    region: str
    city: str


class Capabilities(Answer):
    intl_sms: bool
    channels: list[Literal["sms", "mms", "rcs", "imessage", "whatsapp"]]


class Health(Answer):
    reputation: float
    previous_owners: int


class More(Answer):
    requirements: list[str]
    e911_capable: bool


class Pricing(Answer):
    currency: str
    upfront_fee: float
    monthly_rate: float


class Period(Answer):
    start: int
    end: int | None


class Billing(Answer):
    method: Literal["monthly", "service_contract"]
    period: Period
    price: Pricing | None = None


class Number(Answer):
    """A number, with its lease when the caller holds it."""

    id: str
    status: Literal["available", "leased", "unavailable"]
    number: Formats
    location: Location
    carrier: str
    capabilities: Capabilities
    health: Health
    data: More
    created_at: int
    pricing: Pricing
    lease_id: str | None
    lease_status: Literal["active", "expired"] | None
    billing: Billing | None


class OneNumber(Number, Data):
    pass


class AvailableNumbers(Data):
    available: int
    numbers: list[Number]


class LeasedNumbers(Data):
    leased: int
    numbers: list[Number]


class Terminated(Data):
    lease_id: str
    number_id: str
    status: Literal["terminated"]
    terminated_at: int


class FailoverState(Answer):
    enabled: bool
    mode: Literal["all", "selective"]
    numbers: list[str]


class Configured(Data):
    number: str
    failover: FailoverState | None


def answers(data: Any, *refusals: int) -> dict[int, Any]:
    """The answers of an operation: its envelope, and its refusals beside those that any request may meet."""
    envelope = create_model(f"{data.__name__}Answer", __base__=Metadata, data=(data, ...))
    return {200: envelope} | dict.fromkeys(sorted({400, 401, 503, *refusals}), Refusal)
