"""What only the templates of threads need."""

from datetime import UTC, datetime

from django import template

from console.thread import moment

register = template.Library()


@register.filter
def in_address(at: datetime) -> str:
    """A moment as `?at=` takes it."""
    return moment.in_address(at)


@register.filter
def utc_input(at: datetime) -> str:
    """A moment as a field of date and time takes it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
