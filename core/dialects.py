"""Whose published clients an installation speaks with."""

from django.db import models


class Dialect(models.TextChoices):
    """The vendor whose words an API, a key or a webhook uses."""

    INKBOX = "inkbox", "Inkbox"
    AGENTPHONE = "agentphone", "AgentPhone"
    CONTIGUITY = "contiguity", "Contiguity"
