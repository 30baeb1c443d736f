"""Connections, conversations and all that is said in them, with its history from the first row."""

from imessage.models.connections import Connection, ConnectionMove, RouterMessage
from imessage.models.conversations import UNNAMED, Conversation, Participant
from imessage.models.messages import DeliveryStep, Message, MessageQuerySet
from imessage.models.parts import MediaFile, Part
from imessage.models.releases import Release
from imessage.models.tapbacks import Tapback, TapbackChange
from imessage.models.words import Direction, SendStyle, Service, TapbackKind

__all__ = [
    "UNNAMED",
    "Connection",
    "ConnectionMove",
    "Conversation",
    "DeliveryStep",
    "Direction",
    "MediaFile",
    "Message",
    "MessageQuerySet",
    "Part",
    "Participant",
    "Release",
    "RouterMessage",
    "SendStyle",
    "Service",
    "Tapback",
    "TapbackChange",
    "TapbackKind",
]
