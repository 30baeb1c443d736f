"""How numbers, times, icons, counts, JSON and small charts look in the console's templates."""

import json as json_format
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.contrib.messages.storage.base import Message
from django.template.context import Context
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from console import charts
from console.masking import masked, masked_within, sees_numbers
from console.models import Preferences
from console.times import Times, in_utc, times_of
from core import phones

register = template.Library()

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@register.filter
def pretty(number: str) -> str:
    """A phone number of ours as people write it; a human's is written by `human`, which masks it for viewers."""
    return phones.pretty(number)


@register.simple_tag(takes_context=True)
def human(context: Context, number: str) -> SafeString:
    """A human's number as this reader may see it."""
    if sees_numbers(reader_of(context)):
        return format_html("{}", phones.pretty(number))
    text = '<span class="masked" title="Masked for viewers"><span aria-hidden="true">{}</span><span class="unseen">number ending in {}</span></span>'  # noqa: E501
    return format_html(text, masked(number), number[-2:])


@register.simple_tag(takes_context=True)
def human_text(context: Context, number: str) -> str:
    """As `human`, as bare text: for titles, labels and attributes."""
    return phones.pretty(number) if sees_numbers(reader_of(context)) else masked(number)


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


# --- Times, in the reader's zone (console/times.py)


@register.simple_tag(takes_context=True)
def ago(context: Context, moment: datetime) -> SafeString:
    """For lists: the distance from now, the exact time on hover; `page.js` keeps it true."""
    times = times_of(context.get("request"))
    if times.always_exact:
        return _exact(times, moment)
    text = '<time datetime="{}" title="{}" data-ago>{}</time>'
    return format_html(text, moment.isoformat(), times.whole(moment), times.distance(moment))


@register.simple_tag(takes_context=True)
def clock(context: Context, moment: datetime, day: datetime | None = None) -> SafeString:
    """The time of day, the exact time on hover. With `day`, to the second, and dated if it fell on another day."""
    times = times_of(context.get("request"))
    if times.always_exact and day is None:
        return _exact(times, moment)
    words = times.clock(moment, seconds=day is not None)
    if day is not None and times.day(day) != times.day(moment):
        words = f"{times.local(moment).day} {times.local(moment):%b}, {words}"
    text = '<time datetime="{}" title="{}">{}</time>'
    return format_html(text, moment.isoformat(), times.whole(moment), words)


@register.simple_tag(takes_context=True)
def moment(context: Context, moment: datetime) -> SafeString:
    """For pages of one thing: day and time to the second, with the zone."""
    return _exact(times_of(context.get("request")), moment)


def _exact(times: Times, moment: datetime) -> SafeString:
    text = '<time datetime="{}" title="{}">{}</time>'
    return format_html(text, moment.isoformat(), f"{times.local(moment):%A}", times.exact(moment))


@register.simple_tag(takes_context=True)
def zone(context: Context) -> str:
    """The name of the zone that times on this page are in."""
    request = context.get("request")
    kept: Preferences | None = getattr(request, "preferences", None)
    return "UTC" if request is None or kept is None or in_utc(request) else kept.zone


@register.simple_tag(takes_context=True)
def looks(context: Context) -> SafeString:
    """Attributes of the document: theme and density as chosen; the browser's own choice of theme wins."""
    request = context.get("request")
    kept = getattr(request, "preferences", None) or Preferences()
    theme = request.COOKIES.get("theme", kept.theme) if request else kept.theme
    chosen = [("data-theme", theme)] if theme in {"light", "dark"} else []
    if kept.density == Preferences.Density.COMPACT:
        chosen.append(("data-density", "compact"))
    if not kept.shortcuts:
        chosen.append(("data-shortcuts", "off"))
    return format_html_join("", ' {}="{}"', chosen)


@register.simple_tag(takes_context=True)
def theme_is(context: Context, name: str) -> bool:
    """Whether the reader has chosen this theme; `system` when nothing else is chosen."""
    request = context.get("request")
    kept = getattr(request, "preferences", None) or Preferences()
    theme = request.COOKIES.get("theme", kept.theme) if request else kept.theme
    return bool(name == (theme if theme in {"light", "dark"} else "system"))


# --- Numbers and data


@register.simple_tag
def count(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun: "1 message", "1,240 messages"."""
    return f"{intcomma(number)} {singular if number == 1 else plural or singular + 's'}"


@register.simple_tag(takes_context=True)
def json(context: Context, value: Any) -> SafeString:
    """JSON as people read it, with numbers as this reader may see them; keys and texts are marked for the eye."""
    text = json_format.dumps(masked_within(reader_of(context), value), indent=2, ensure_ascii=False, default=str)
    parts = []
    at = 0
    for found in _TOKENS.finditer(text):
        kind = "key" if found[2] else "text"
        parts.append(
            format_html('{}<span class="code-{}">{}</span>{}', text[at : found.start()], kind, found[1], found[2] or "")
        )
        at = found.end()
    return format_html("{}{}", mark_safe("".join(parts)), text[at:])  # noqa: S308 - joined of escaped parts


_TOKENS = re.compile(r'("(?:[^"\\]|\\.)*")(:)?')


@register.simple_tag
def way_back(message: Message) -> dict[str, str]:
    """What a toast's button posts to, as `entry.tell` wrote it; a bare address is Undo in the thread's panel."""
    if message.extra_tags.startswith("{"):
        return dict(json_format.loads(message.extra_tags))
    return {"url": message.extra_tags, "label": "Undo", "target": "#thread-about"}


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
    if seconds < 2 * _DAY:
        return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"
    return f"{int(seconds // _DAY)} d {int(seconds % _DAY // _HOUR)} h"


# --- Charts


@register.inclusion_tag("console/kit/_progress.html")
def progress(done: int, total: int, label: str = "Progress", tone: str = "") -> dict[str, Any]:
    """How much of a whole is done."""
    percent = 100 if total <= 0 else max(0, min(100, round(100 * done / total)))
    return {"done": done, "total": total, "percent": percent, "label": label, "tone": tone}


@register.inclusion_tag("console/kit/_spark.html")
def spark(values: Sequence[float], words: str) -> dict[str, Any]:
    """A line of a few values; `words` say what it shows to who does not see it."""
    return {"points": charts.line_through(list(values)), "words": words}


@register.inclusion_tag("console/kit/_bars.html")
def bars(bars: Sequence[charts.Bar], words: str, of: str = "Time", name: str = "bars") -> dict[str, Any]:
    """Bars that may lead to what they count, and the same as a table below. `name` tells two charts of a page apart.

    An image may hold no links for those who hear it: with links it is for the eye and the pointer, the table for all.
    """
    leads = any(bar.url for bar in bars)
    return {
        "bars": charts.drawn(bars),
        "words": words,
        "of": of,
        "name": name,
        "has_bad": any(bar.bad for bar in bars),
        "leads": leads,
    }


def reader_of(context: Context) -> Any:
    """Who reads, as the door of the page found; nobody in particular sees the least."""
    return getattr(context.get("request"), "actor", None)
