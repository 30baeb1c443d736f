"""What the Inkbox dialect answers, as types: for its document alone. Views build their bodies from shapes."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from dialects.inkbox import (
    AssignmentStatusWord,
    DirectionWord,
    GroupStateWord,
    MessageTypeWord,
    ModeWord,
    ReactionWord,
    ServiceWord,
    StatusWord,
    StyleWord,
)


class Answer(BaseModel):
    """No answer holds a field that its type does not name."""

    model_config = ConfigDict(extra="forbid")


class Wrong(Answer):
    """One thing that is wrong with a request."""

    type: str
    loc: list[str | int] | None
    msg: str
    input: Any


class Refusal(Answer):
    """Why a request was refused: in words, with facts that a program can tell apart, or as a list of what is wrong."""

    detail: str | dict[str, Any] | list[Wrong]


class Caller(Answer):
    auth_type: Literal["api_key"]
    auth_subtype: Literal["api_key.admin_scoped", "api_key.agent_scoped.claimed"]
    scope: str
    organization_id: str
    created_by: str | None
    creator_type: str | None
    key_id: str
    label: str
    description: str | None
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class ApiKey(Answer):
    id: str
    organization_id: str
    created_by: str
    creator_type: str
    scoped_identity_id: UUID | None
    label: str
    description: str | None
    status: Literal["active", "revoked"]
    last4: str
    display_prefix: str
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    updated_at: datetime


class CreatedApiKey(Answer):
    api_key: Annotated[str, Field(description="The full key; it cannot be shown again.")]
    record: ApiKey


class OwnNumber(Answer):
    id: UUID
    number: str
    type: Literal["dedicated_outbound"]


class Identity(Answer):
    id: UUID
    organization_id: str
    agent_handle: str
    display_name: str
    description: str | None
    email_address: None
    status: Literal["active", "paused"]
    imessage_enabled: bool
    imessage_filter_mode: ModeWord
    phone_filter_mode: ModeWord
    phone_inbound_filter_mode: ModeWord
    phone_outbound_filter_mode: ModeWord
    mailbox: None
    phone_number: None
    tunnel: None
    imessage_number: OwnNumber | None
    signing_key_configured: bool
    signing_key_created_at: datetime | None
    created_at: datetime
    updated_at: datetime


class TriageNumber(Answer):
    number: str
    connect_command: str


class Media(Answer):
    url: str
    content_type: str | None
    size: int | None


class Recipient(Answer):
    remote_number: str
    delivery_status: StatusWord
    service: ServiceWord
    error_code: str | None
    error_message: str | None
    error_reason: str | None
    error_detail: str | None
    sent_at: datetime | None
    delivered_at: datetime | None
    failed_at: datetime | None


class CompactReaction(Answer):
    id: UUID
    direction: DirectionWord
    reaction: ReactionWord
    custom_emoji: str | None
    remote_number: str
    part_index: int
    created_at: datetime


class Message(Answer):
    id: UUID
    conversation_id: UUID
    assignment_id: Annotated[UUID | None, Field(description="Null in groups alone.")]
    direction: DirectionWord
    remote_number: Annotated[str | None, Field(description="Null in groups alone.")]
    content: str | None
    message_type: MessageTypeWord
    service: ServiceWord
    send_style: StyleWord | None
    media: list[Media] | None
    was_downgraded: bool | None
    status: StatusWord
    error_code: str | None
    error_message: str | None
    error_reason: str | None
    error_detail: str | None
    is_read: bool
    is_blocked: bool
    recipients: list[Recipient] | None
    reactions: list[CompactReaction]
    sender_number: str | None
    participants: list[str] | None
    is_group: bool
    reply_to_message_id: UUID | None
    thread_id: UUID | None
    thread_root_message_id: UUID | None
    created_at: datetime
    updated_at: datetime


class SentMessage(Answer):
    message: Message


class Thread(Answer):
    thread_id: UUID
    conversation_id: UUID
    thread_root_message_id: UUID
    messages: Annotated[list[Message], Field(description="Oldest first.")]
    next_cursor: str | None


class FoundMessage(Answer):
    message_id: UUID


class UploadedMedia(Answer):
    media_url: str
    content_type: str | None
    size: int | None


class Conversation(Answer):
    id: UUID
    assignment_id: Annotated[UUID | None, Field(description="Null in groups alone.")]
    assignment_status: Annotated[AssignmentStatusWord | None, Field(description="Null in groups alone.")]
    remote_number: Annotated[str | None, Field(description="Null in groups alone.")]
    participants: list[str]
    is_group: bool
    group_creation_status: Annotated[GroupStateWord | None, Field(description="Null outside of groups.")]
    created_at: datetime
    updated_at: datetime


class ConversationSummary(Conversation):
    latest_text: str | None
    latest_message_at: datetime | None
    latest_direction: DirectionWord | None
    latest_has_media: bool
    unread_count: int
    total_count: int


class Assignment(Answer):
    id: UUID
    remote_number: str
    agent_identity_id: UUID
    organization_id: str
    status: AssignmentStatusWord
    released_at: datetime | None
    created_at: datetime
    updated_at: datetime


class MarkedRead(Answer):
    conversation_id: UUID
    updated_count: int


class Typing(Answer):
    status: Literal["sent"]


class Reaction(Answer):
    id: UUID
    conversation_id: UUID
    assignment_id: Annotated[UUID | None, Field(description="Null in groups alone.")]
    target_message_id: UUID
    direction: DirectionWord
    reaction: ReactionWord
    custom_emoji: str | None
    remote_number: str
    part_index: int
    created_at: datetime
    updated_at: datetime


class ContactRule(Answer):
    id: UUID
    agent_identity_id: UUID
    action: Literal["allow", "block"]
    match_type: Literal["exact_number"]
    match_target: str
    status: Literal["active", "paused"]
    direction: Literal["inbound", "outbound", "both"]
    created_at: datetime
    updated_at: datetime


class DedicatedNumber(Answer):
    id: UUID
    number: str
    type: Literal["dedicated_outbound"]
    status: Literal["active", "paused"]
    agent_identity_id: UUID | None
    agent_handle: str | None


class KeyStatus(Answer):
    configured: bool
    created_at: datetime | None


class NewSigningKey(Answer):
    signing_key: Annotated[str, Field(description="The plaintext; it cannot be shown again.")]
    created_at: datetime


class Subscription(Answer):
    id: UUID
    organization_id: str
    mailbox_id: None
    phone_number_id: None
    agent_identity_id: UUID
    owner_identity_id: UUID
    url: str
    event_types: list[str]
    status: Annotated[Literal["active", "disabled"], Field(description="Disabled: the endpoint kept failing.")]
    context_config: dict[str, Any] | None
    has_auth_token: bool
    auth_token: str | None
    created_at: datetime
    updated_at: datetime


class CreatedSubscription(Subscription):
    signing_key: Annotated[str | None, Field(description="Set when this call made the identity's first key.")]


class Subscriptions(Answer):
    subscriptions: list[Subscription]


class CatalogEvent(Answer):
    event_type: str
    channel: Literal["imessage"]


class Catalog(Answer):
    supports_identity_subscriptions: Literal[True]
    events: list[CatalogEvent]
    example_signature_headers: dict[str, str]


class Delivery(Answer):
    id: UUID
    organization_id: str
    webhook_subscription_id: UUID
    phone_number_id: None
    event_id: str
    event_type: str
    url: str
    request_payload: str
    response_status: int | None
    response_body: str | None
    error_detail: str | None
    duration_ms: int | None
    is_replay: bool
    replayable: bool
    replay_unavailable_reason: str | None
    created_at: datetime


class Deliveries(Answer):
    deliveries: list[Delivery]


def answers(status: int, answer: Any, *refusals: int) -> dict[int, Any]:
    """The answers of an operation: its good one, and its refusals beside those that any request may meet.

    Those are 400 for what cannot be read at all, 401, 422 and, while the database restarts, 503.
    """
    return {status: answer} | dict.fromkeys(sorted({400, 401, 422, 503, *refusals}), Refusal)
