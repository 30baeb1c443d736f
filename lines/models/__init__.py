"""Lines that carry conversations, who is routed where on them, and every exchange with their providers."""

from lines.models.exchanges import Callback, Dispatch
from lines.models.health import (
    AccountHealth,
    Alert,
    AlertNotice,
    Incident,
    IncidentHuman,
    LineCap,
    LineHealth,
    LineHour,
    LineNote,
    LineReading,
)
from lines.models.lines import Line, LineEvent, ProviderAccount
from lines.models.moves import Move, MoveItem
from lines.models.recipients import Recipient
from lines.models.routes import ANY_HUMAN, RESERVED_FOR, Route, thread_of

__all__ = [
    "ANY_HUMAN",
    "RESERVED_FOR",
    "AccountHealth",
    "Alert",
    "AlertNotice",
    "Callback",
    "Dispatch",
    "Incident",
    "IncidentHuman",
    "Line",
    "LineCap",
    "LineEvent",
    "LineHealth",
    "LineHour",
    "LineNote",
    "LineReading",
    "Move",
    "MoveItem",
    "ProviderAccount",
    "Recipient",
    "Route",
    "thread_of",
]
