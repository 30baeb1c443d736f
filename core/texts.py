"""Text from outside: what PostgreSQL and a phone can hold, counted in code points."""

import unicodedata

from core.errors import Invalid

# The longest message of the contracts (contract/inkbox.md 8.1), in code points.
MESSAGE_LIMIT = 18_996

# In code points: families and flags are put together from many.
_LONGEST_EMOJI = 16


def cleaned(text: str) -> str:
    """`text` without what cannot be stored: for words from a phone, which nobody can be asked to mend."""
    return text.replace("\x00", "").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def storable(text: str) -> str:
    """`text` itself, or raise `Invalid`: PostgreSQL refuses NUL, and lone surrogates are not Unicode text."""
    if "\x00" in text:
        raise Invalid("Text must not contain the NUL character.")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise Invalid("Text must not contain lone surrogates; send real Unicode characters.")
    return text


def is_emoji(text: str) -> bool:
    """Whether `text` may be one emoji: a symbol, with what joins and colours it, and no letters, spaces or controls."""
    kinds = {unicodedata.category(char) for char in text}
    has_symbol = bool(kinds & {"So", "Sk", "Me"})
    has_others = any(kind[0] in "LZ" or kind in {"Cc", "Cs"} for kind in kinds)
    return len(text) <= _LONGEST_EMOJI and has_symbol and not has_others
