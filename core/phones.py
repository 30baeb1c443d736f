"""Phone numbers: one form, E.164, and one judgement of what is possible."""

import re
from functools import lru_cache

import phonenumbers

from core.errors import Invalid

# ASCII digits only: `\d` would let full-width digits pass.
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


class NotE164(Invalid):
    """The number must be in E.164 form, like +15555550123."""

    code = "not_e164"


def e164(text: str) -> str:
    """`text` itself when it is a possible number in E.164 form, else raise `NotE164`.

    `is_possible_number`, never `is_valid_number`: the latter refuses the fictional +1 555 555 01xx
    (architecture.md, section 5).
    """
    if not _E164.fullmatch(text):
        raise NotE164()
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException as refused:
        raise NotE164() from refused
    if not phonenumbers.is_possible_number(number):
        raise NotE164()
    return text


def any_notation(text: str, *, region: str = "US") -> str:
    """The number in E.164 that `text` means in any notation, one without a country code as in `region`.

    Raises `NotE164`.
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as refused:
        raise NotE164() from refused
    return e164(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def area_code_of(number: str) -> str | None:
    """The three digits that numbers of North America begin with; None for others."""
    return number[2:5] if re.fullmatch(r"\+1[0-9]{10}", number, re.ASCII) else None


# A page shows the same numbers again and again, and reading one takes a tenth of a millisecond.
@lru_cache(maxsize=10_000)
def pretty(number: str) -> str:
    """The number as people write it, with its country code; unparsable text is returned as it is."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def digits_of(text: str) -> str:
    """The ASCII digits of a number in any notation: what two notations of one number have in common."""
    return "".join(char for char in text if char.isascii() and char.isdigit())
