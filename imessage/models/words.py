"""The closed vocabularies of what is said."""

from django.db import models


class Direction(models.TextChoices):
    INBOUND = "inbound"  # from the human
    OUTBOUND = "outbound"  # from the agent


class Service(models.TextChoices):
    IMESSAGE = "imessage"
    SMS = "sms"
    RCS = "rcs"


class SendStyle(models.TextChoices):
    """Expressive effects, by their public names (contract/lines.md 3.1)."""

    CELEBRATION = "celebration"
    SHOOTING_STAR = "shooting_star"
    FIREWORKS = "fireworks"
    LASERS = "lasers"
    LOVE = "love"
    CONFETTI = "confetti"
    BALLOONS = "balloons"
    SPOTLIGHT = "spotlight"
    ECHO = "echo"
    INVISIBLE = "invisible"
    GENTLE = "gentle"
    LOUD = "loud"
    SLAM = "slam"


class TapbackKind(models.TextChoices):
    LOVE = "love"
    LIKE = "like"
    DISLIKE = "dislike"
    LAUGH = "laugh"
    EMPHASIZE = "emphasize"
    QUESTION = "question"
    CUSTOM = "custom"  # any emoji; from humans only
