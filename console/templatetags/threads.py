"""What only the templates of threads need."""

from datetime import UTC, datetime

from django import template
from django.template.context import Context
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.templatetags.console import human, human_text, reader_of
from console.thread import moment
from console.thread.people import Person, Title, in_words

register = template.Library()


@register.filter
def in_address(at: datetime) -> str:
    """A moment as `?at=` takes it."""
    return moment.in_address(at)


@register.filter
def utc_input(at: datetime) -> str:
    """A moment as a field of date and time takes it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


@register.simple_tag(takes_context=True)
def person(context: Context, person: Person) -> SafeString:
    """A human by name, the number on hover; by number where nobody has named them."""
    if not person.name:
        return human(context, person.human)
    return format_html('<span title="{}">{}</span>', human_text(context, person.human), person.name)


@register.simple_tag(takes_context=True)
def title(context: Context, title: Title) -> SafeString:
    """What a thread is called: its name, or those who are in it."""
    if title.is_group and title.name:
        return format_html("{}", title.name)
    whom = format_html_join(", ", "{}", ((person(context, one),) for one in title.people))
    return format_html("{}{}", whom, title.rest)


@register.simple_tag(takes_context=True)
def title_text(context: Context, title: Title) -> str:
    """As `title`, as bare text: for titles, labels and attributes."""
    return in_words(reader_of(context), title)
