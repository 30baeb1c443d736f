"""What the product refuses around conversations; the dialects put these into each vendor's words."""

from typing import Self

from contactrules.rules import Verdict
from core.errors import Busy, Conflict, DomainError, Forbidden, Invalid, NotFound, TooLarge


class NotEnabled(DomainError):
    """This identity is not enabled for iMessage; enable it before sending or listing."""

    status = 400
    code = "identity_not_enabled"


class NotConnected(NotFound):
    """This number is not connected to the identity. Fields: `router_number`, `connect_command`."""

    code = "not_connected"


class ConnectionReleased(Conflict):
    """The human has disconnected from this agent and must reconnect through the router."""

    code = "connection_released"


class AwaitingInbound(Conflict):
    """The human is connected but has not written yet; an agent answers, it never writes first."""

    code = "awaiting_inbound"


class RecipientBlocked(Forbidden):
    """A contact rule blocks this recipient. Fields: `matched_rule_id` (or None), `address`, `reason`."""

    code = "recipient_blocked"
    given: Verdict | None = None

    def because(self, given: Verdict) -> Self:
        """The same refusal, knowing the verdict that it stands on."""
        self.given = given
        return self


class CapReached(DomainError):
    """The identity has used its messages of the rolling 24 hours. Fields: `limit`, `reset` (Unix seconds)."""

    status = 429
    code = "cap_reached"


class QueueFull(Busy):
    """The line has more to send than it can send in time; repeat after the time given. Field: `waiting`."""

    code = "queue_full"


class QuotaReached(TooLarge):
    """The organization's room for media is used up; delete messages with media, or ask for more room."""

    code = "media_quota_reached"


class NoSuchMedia(Invalid):
    """'media_urls' names no media file of this organization; upload it again."""

    code = "no_such_media"


class NoRouter(NotFound):
    """No router number is active."""

    code = "no_router"


class NotReactable(DomainError):
    """This message cannot take a tapback yet."""

    status = 400
    code = "not_reactable"


class ReplyTargetNotFound(NotFound):
    """The message to reply to is not in this conversation."""

    code = "reply_target_not_found"


class ReplyTargetUnavailable(Conflict):
    """This server cannot send a native inline reply; with plain_reply_fallback it goes as an ordinary message."""

    code = "reply_target_unavailable"


class GroupsUnsupported(DomainError):
    """This line cannot take part in groups."""

    status = 400
    code = "groups_unsupported"


class NoSender(DomainError):
    """No number to send from: name one, or attach one to the agent."""

    status = 400
    code = "no_sender"


class FallbackImpossible(DomainError):
    """No number is there that could carry this as SMS."""

    status = 400
    code = "fallback_impossible"


class FastTrackUnavailable(Forbidden):
    """The fast track is for texts that leave from a number of the organization's own."""

    code = "fast_track_unavailable"


class TapbackUnsupported(DomainError):
    """This number or message cannot take such a tapback."""

    status = 400
    code = "tapback_unsupported"


class BackgroundUnsupported(DomainError):
    """This thread cannot have a background."""

    status = 400
    code = "background_unsupported"


class BadPicture(DomainError):
    """The picture could not be fetched, or is none."""

    status = 400
    code = "bad_picture"


class NoSuchPart(Invalid):
    """The message has no such part."""

    code = "no_such_part"


class NotBlocked(Conflict):
    """This is not blocked; it reaches the agent already."""

    code = "not_blocked"


class ReleaseUnderWay(Conflict):
    """It is being released in another way already; undo that first."""

    code = "release_under_way"


class ReleaseSettled(Conflict):
    """It is too late to undo: the agent has been told."""

    code = "release_settled"
