"""Reading requests: JSON bodies and query strings, each value through one named reader that says what is wrong."""

import base64
import binascii
import json
import mimetypes
import re
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from simulator.handsets import TAPBACKS, Media
from simulator.orders import GroupOrder, Tapback
from simulator.refusals import Refusal, invalid

# ASCII digits only: `\d` would let full-width digits pass.
_GROUP = re.compile(r"grp_[0-9a-f]{32}", re.ASCII)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
LONGEST_TEXT = 20_000
LONGEST_WORD = 255
LONGEST_NAME = 100
LONGEST_URL = 2_048
LONGEST_EMOJI = 32
MOST_MEDIA = 40
MOST_NUMBERS = 64
HIGHEST_CURSOR = 2**53


def e164(value: Any, *, name: str) -> str:
    """`value` when it is a phone number in E.164 form; raises `Refusal` (422)."""
    if not isinstance(value, str) or not _E164.fullmatch(value):
        raise invalid(f"{name} must be a phone number in E.164 form, like +15555550123.")
    return value


async def body_of(request: web.Request) -> "Fields":
    """The request's JSON object; raises `Refusal` (400) for anything else."""
    raw = await request.read()
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as broken:
        raise Refusal(400, "bad_json", "The body must be JSON in UTF-8.") from broken
    if not isinstance(value, dict):
        raise Refusal(400, "bad_json", "The body must be a JSON object.")
    return Fields(value)


def query_of(request: web.Request) -> "Fields":
    """The request's query parameters, the last of a repeated one."""
    return Fields({name: value for name, value in request.query.items() if value != ""})


def number_in_path(request: web.Request) -> str:
    """The phone number the path names."""
    return e164(request.match_info["number"], name="The number in the path")


class Fields:
    """Named values from outside. Every reader raises `Refusal` (422) with the field's name."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def number(self, name: str) -> str:
        """A phone number that must be there."""
        return e164(self.values.get(name), name=name)

    def number_or_none(self, name: str) -> str | None:
        """A phone number, or None when it is left out."""
        value = self.values.get(name)
        if isinstance(value, str):
            # A bare + in a query string arrives as a space.
            value = re.sub(r"\A ", "+", value)
        return None if value is None else e164(value, name=name)

    def thread_or_none(self, name: str) -> str | None:
        """A group's key or a line's number, or None when it is left out."""
        value = self.values.get(name)
        return value if isinstance(value, str) and _GROUP.fullmatch(value) else self.number_or_none(name)

    def thread(self, name: str) -> str:
        """A group's key or a line's number that must be there."""
        value = self.thread_or_none(name)
        if value is None:
            raise invalid(f"{name} must be a phone number in E.164 form or a group's key.")
        return value

    def numbers(self, name: str) -> list[str]:
        """A list of phone numbers; left out, an empty one."""
        value = self.values.get(name)
        value = [] if value is None else value
        if not isinstance(value, list) or len(value) > MOST_NUMBERS:
            raise invalid(f"{name} must be a list of at most {MOST_NUMBERS} phone numbers.")
        return [e164(number, name=name) for number in value]

    def group_name_or_none(self, name: str) -> str | None:
        """A group's name, which may be empty, or None when it is left out."""
        return self._words(name, longest=LONGEST_NAME)

    def group_or_none(self) -> GroupOrder | None:
        """The group a text goes to: {key}, or {members, name} for a new one."""
        value = self.values.get("group")
        if value is None:
            return None
        if not isinstance(value, dict):
            raise invalid("group must be an object with a key, or with members and a name.")
        fields = Fields(value)
        key = fields.word_or_none("key")
        return GroupOrder(key=key, members=fields.numbers("members"), name=fields.group_name_or_none("name") or "")

    def text(self, name: str, *, media: list[Media]) -> str:
        """The words of a text; they may be left out when there is media."""
        value = self._words(name, longest=LONGEST_TEXT)
        if not value and not media:
            raise invalid(f"{name} must not be empty.")
        return value or ""

    def word_or_none(self, name: str, *, longest: int = LONGEST_WORD) -> str | None:
        """A short string, or None when it is left out; an empty one is refused."""
        value = self._words(name, longest=longest)
        if value == "":
            raise invalid(f"{name} must not be empty.")
        return value

    def word(self, name: str, *, longest: int = LONGEST_WORD) -> str:
        """A short string that must be there."""
        value = self.word_or_none(name, longest=longest)
        if value is None:
            raise invalid(f"{name} is required.")
        return value

    def choice(self, name: str, known: tuple[str, ...], *, default: str | None = None) -> str:
        """One of a closed set of words."""
        value = self.values.get(name)
        value = default if value is None else value
        if value not in known:
            raise invalid(f"{name} must be one of {', '.join(known)}.")
        return str(value)

    def choice_or_none(self, name: str, known: tuple[str, ...]) -> str | None:
        """One of a closed set of words, or None when it is left out."""
        return None if self.values.get(name) is None else self.choice(name, known)

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """True or false."""
        value = self.values.get(name)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false.")
        return value

    def whole(self, name: str, *, default: int, least: int, most: int) -> int:
        """A whole number, from JSON or from the digits of a query string."""
        value = self.values.get(name, default)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,16}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise invalid(f"{name} must be a whole number from {least} to {most}.")
        return value

    def limit(self, *, default: int = 100, most: int = 1_000) -> int:
        """How many rows the caller wants."""
        return self.whole("limit", default=default, least=1, most=most)

    def after(self, *, default: int = 0) -> int:
        """The cursor to read on from."""
        return self.whole("after", default=default, least=0, most=HIGHEST_CURSOR)

    def seconds(self, name: str, *, default: float, most: float) -> float:
        """A length of time in seconds, from a query string."""
        value = self.values.get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value, re.ASCII) or float(value) > most:
            raise invalid(f"{name} must be a number of seconds from 0 to {most:.0f}.")
        return float(value)

    def media(self) -> list[Media]:
        """The media of a text, given as a list of http(s) URLs."""
        urls = self.values.get("media")
        urls = [] if urls is None else urls
        if not isinstance(urls, list) or len(urls) > MOST_MEDIA:
            raise invalid(f"media must be a list of at most {MOST_MEDIA} URLs.")
        return [_medium(web_url(url, name="media")) for url in urls]

    def reply_target(self) -> dict[str, Any] | None:
        """The part of a text that is answered: {id, part}."""
        value = self.values.get("reply_to")
        if value is None:
            return None
        if not isinstance(value, dict):
            raise invalid("reply_to must be an object of id and part.")
        target = Fields(value)
        return {"id": target.word("id"), "part": target.part()}

    def part(self) -> int:
        """Which bubble of a text, counted from 0."""
        return self.whole("part", default=0, least=0, most=MOST_MEDIA)

    def tapback(self) -> Tapback:
        """A tapback: one of Apple's six, whose emoji is not asked for, or any emoji."""
        kind = self.choice("kind", TAPBACKS)
        emoji = self.word("emoji", longest=LONGEST_EMOJI) if kind == "emoji" else None
        return Tapback(kind=kind, emoji=emoji, part=self.part())

    def callback_secret(self) -> str:
        """A Standard Webhooks secret: whsec_ and 24 to 64 bytes in base64."""
        secret = self.word("secret")
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
            raise invalid("secret must be whsec_ followed by 24 to 64 bytes in base64.")
        return secret

    def _words(self, name: str, *, longest: int) -> str | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > longest:
            raise invalid(f"{name} must be a string of at most {longest} characters.")
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise invalid(f"{name} must not contain NUL or lone surrogates.")
        return value


def web_url(value: Any, *, name: str) -> str:
    """`value` when it is an absolute http(s) URL of printable ASCII; raises `Refusal` (422)."""
    try:
        if isinstance(value, str) and len(value) <= LONGEST_URL and re.fullmatch(r"[!-~]+", value):
            parts = urlsplit(value)
            if parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0):
                return value
    except ValueError:
        pass
    raise invalid(f"{name} must be an absolute http or https URL.")


def _medium(url: str) -> Media:
    guessed = mimetypes.guess_type(urlsplit(url).path)[0]
    # Until it has been fetched nobody knows more.
    return {"url": url, "content_type": guessed or "application/octet-stream", "size": None}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
