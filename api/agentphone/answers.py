"""What the AgentPhone dialect answers, as types: for its document alone. Views build their bodies from shapes."""

# ruff: noqa: N815 - the vendor's words

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dialects.agentphone import ChannelWord

DirectionWord = Literal["inbound", "outbound"]
NumberStatusWord = Literal["active", "released"]
NumberTypeWord = Literal["imessage", "sms"]
EventWord = Literal["agent.message", "agent.reaction"]
OutcomeWord = Literal["success", "failed", "pending"]


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


class SentMessage(Answer):
    id: str
    status: Literal["sent"]
    channel: ChannelWord
    from_number: str
    to_number: str
    conversation_id: str
    media_urls: list[str]
    reply_to_message_id: str | None
    reply_parent_unresolved: bool | None


class PutReaction(Answer):
    id: str
    reaction_type: str
    message_id: str
    channel: ChannelWord


class Reaction(Answer):
    id: str
    reactionType: str
    fromNumber: str
    direction: DirectionWord
    createdAt: datetime


class ReplyTo(Answer):
    messageId: str
    message: str
    mediaUrls: list[str]


class Message(Answer):
    id: str
    conversationId: str
    body: str
    fromNumber: str
    toNumber: str
    direction: DirectionWord
    channel: ChannelWord
    mediaUrl: str | None
    mediaUrls: list[str]
    senderIdentifier: str | None
    reactions: list[Reaction]
    replyTo: ReplyTo | None
    status: Literal["queued", "sent", "delivered", "failed", "received"]
    failureReason: str | None
    errorCode: str | None
    deliveredAt: datetime | None
    deliveredChannel: ChannelWord | None
    readAt: datetime | None
    receivedAt: datetime


class Messages(Answer):
    data: list[Message]
    hasMore: bool


class NumberMessage(Message):
    """The same, with both sides under every name that its clients look for."""

    sender: Annotated[str, Field(alias="from")]
    sender_: Annotated[str, Field(alias="from_")]
    to: str


class NumberMessages(Answer):
    data: list[NumberMessage]
    hasMore: bool


class Participant(Answer):
    identifier: str
    name: str | None


class ConversationFields(Answer):
    id: str
    agentId: str | None
    phoneNumberId: str
    phoneNumber: str
    participant: str
    isGroup: bool
    groupId: str | None
    groupName: str | None
    groupIconUrl: None
    participants: list[Participant] | None
    channel: ChannelWord
    lastMessageAt: datetime | None
    messageCount: int
    metadata: dict[str, Any] | None
    createdAt: datetime


class Conversation(ConversationFields):
    lastMessagePreview: str


class Conversations(Answer):
    data: list[Conversation]
    hasMore: bool
    total: int


class ConversationCapabilities(Answer):
    canSendMessages: bool
    media: bool
    reactions: bool
    emojiReactions: bool
    sendDisabledReason: str | None
    sendChannel: ChannelWord
    availableChannels: list[ChannelWord]
    mediaChannels: list[ChannelWord]


class ConversationDetail(ConversationFields):
    messages: list[Message]
    capabilities: ConversationCapabilities | None


class Typing(Answer):
    conversationId: str
    channel: ChannelWord
    status: Literal["typing indicator sent", "skipped"]


class Background(Answer):
    conversationId: str
    channel: ChannelWord
    hasBackground: bool
    backgroundId: str | None
    backgroundVersion: int | None
    changed: bool


class NewContacts(Answer):
    used: int
    limit: int


class Number(Answer):
    id: str
    phoneNumber: str
    country: str
    status: NumberStatusWord
    type: NumberTypeWord
    agentId: str | None
    outboundSms: Literal["enabled"]
    inboundCallsEnabled: Literal[False]
    readReceiptsEnabled: Literal[False]
    whatsappEnabled: Literal[False]
    dailyNewContacts: NewContacts | None
    purchasedAt: datetime | None
    externalId: str | None
    expiresAt: datetime | None
    rcsFallbackForAlias: None
    createdAt: datetime


class Numbers(Answer):
    data: list[Number]
    hasMore: bool
    total: int


class ReleasedNumber(Answer):
    success: Literal[True]
    phoneNumber: str
    status: Literal["released"]


class AvailableNumber(Answer):
    phoneNumber: str
    city: None
    state: None
    rateCenter: None
    areaCode: str | None


class AvailableNumbers(Answer):
    data: list[AvailableNumber]


class LookedUpNumber(Answer):
    phoneNumber: str
    lineType: str | None
    country: str | None
    rcsEnabled: None


class LookedUpNumbers(Answer):
    data: list[LookedUpNumber]


class ContactCard(Answer):
    firstName: str
    lastName: str
    displayName: str | None
    hasAvatar: bool


class AgentNumber(Answer):
    id: str
    phoneNumber: str
    status: NumberStatusWord
    type: NumberTypeWord


class Agent(Answer):
    """An agent; what concerns voice is always the same."""

    id: str
    name: str
    description: str | None
    enableMessaging: bool
    voiceMode: Literal["webhook"]
    modelTier: Literal["balanced"]
    systemPrompt: None
    beginMessage: None
    voice: str
    transferNumber: None
    voicemailMessage: None
    sttMode: Literal["fast"]
    ambientSound: Literal["none"]
    denoisingMode: Literal["noise-cancellation"]
    maxSilenceMs: int
    enableBackchannel: bool
    interruptionSensitivity: float
    voiceSpeed: float
    language: str
    customTools: None
    callScreeningIdentity: None
    callScreeningPurpose: None
    numbers: list[AgentNumber]
    createdAt: datetime


class Agents(Answer):
    data: list[Agent]
    hasMore: bool
    total: int


class DeletedAgent(Answer):
    success: Literal[True]
    id: str
    name: str


class Attached(Answer):
    agentId: str
    number: AgentNumber


class Done(Answer):
    success: Literal[True]


class Contact(Answer):
    id: str
    phoneNumber: str
    name: str
    email: str | None
    notes: str | None
    createdAt: datetime
    updatedAt: datetime


class Contacts(Answer):
    data: list[Contact]
    hasMore: bool
    total: int


class Reach(Answer):
    imessage: bool
    sms: bool


class Capabilities(Answer):
    phoneNumber: str
    capabilities: Reach
    checkedAt: datetime


class Webhook(Answer):
    id: str
    url: str
    secret: str
    status: str
    contextLimit: int
    timeout: int
    createdAt: datetime


class Delivery(Answer):
    id: str
    messageId: str | None
    eventType: EventWord
    channel: ChannelWord
    status: OutcomeWord
    httpStatus: int | None
    errorMessage: str | None
    responseBody: str | None
    attemptCount: int
    lastAttemptAt: datetime | None
    nextRetryAt: datetime | None
    createdAt: datetime


class Deliveries(Answer):
    items: list[Delivery]
    total: int
    offset: int
    limit: int


class AllTimeStats(Answer):
    """The rate is the share of those that are settled, from 0 to 1."""

    total: int
    success: int
    failed: int
    successRate: float


class Hour(Answer):
    hour: datetime
    total: int
    success: int
    failed: int
    pending: int


class DeliveryStats(AllTimeStats):
    pending: int
    byEventType: dict[EventWord, dict[OutcomeWord, int]]
    byHour: list[Hour]


class Tested(Answer):
    success: bool
    statusCode: int | None
    responseMs: int | None
    error: str | None


def answers(status: int, answer: Any, *refusals: int) -> dict[int, Any]:
    """The answers of an operation: its good one, and its refusals beside those that any request may meet."""
    return {status: answer} | dict.fromkeys(sorted({400, 401, 422, 503, *refusals}), Refusal)
