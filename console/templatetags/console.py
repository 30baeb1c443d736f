"""How numbers, times and icons look in the console's templates."""

from datetime import datetime, timedelta

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core import phones

register = template.Library()

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@register.filter
def pretty(number: str) -> str:
    """A phone number as people write it."""
    return phones.pretty(number)


@register.filter
def service(name: str) -> str:
    """The service as its owners write it."""
    return {"imessage": "iMessage", "sms": "SMS", "rcs": "RCS"}.get(name, name)


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite; decoration unless it has a label of its own."""
    if label:
        text = '<svg class="icon" role="img" aria-label="{}"><use href="{}#{}"></use></svg>'
        return format_html(text, label, static("icons.svg"), name)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("icons.svg"), name)


@register.simple_tag
def ago(moment: datetime) -> SafeString:
    """A time as its distance from now, with the exact one on hover; `time.js` keeps it true."""
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>', moment.isoformat(), _exact(moment), _distance(moment)
    )


@register.simple_tag
def clock(moment: datetime) -> SafeString:
    """A time of day in UTC, with the exact moment on hover."""
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), _exact(moment), f"{moment:%H:%M}"
    )


@register.simple_tag
def moment(moment: datetime) -> SafeString:
    """Day and time in UTC, to the second."""
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), f"{moment:%d %b %Y, %H:%M:%S} UTC")


@register.filter
def lasted(took: timedelta) -> str:
    """How long something took, with the digits that matter."""
    seconds = took.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


def _exact(moment: datetime) -> str:
    return f"{moment:%A %d %B %Y, %H:%M:%S} UTC"


def _distance(moment: datetime) -> str:
    """The words of `time.js`, which must stay the same."""
    seconds = (timezone.now() - moment).total_seconds()
    if seconds < _MINUTE:
        return "now"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h"
    if seconds < 7 * _DAY:
        return f"{int(seconds // _DAY)} d"
    return f"{moment.day} {moment:%b}" if seconds < 300 * _DAY else f"{moment.day} {moment:%b %Y}"
