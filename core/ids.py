"""Ids: UUIDv7 keys, and the same key as a short text for dialects that show prefixes (`org_...`)."""

import base64
import binascii
import os
import time
import uuid


def uuid7() -> uuid.UUID:
    """A new id that sorts by its creation time in milliseconds (RFC 9562, section 5.7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def prefixed(prefix: str, key: uuid.UUID) -> str:
    """`key` as `prefix_` and 26 letters of lower-case base32."""
    return f"{prefix}_{base64.b32encode(key.bytes).decode().rstrip('=').lower()}"


def from_prefixed(prefix: str, text: str) -> uuid.UUID | None:
    """The key inside a prefixed id, or None when the text is not one."""
    start, _, rest = text.partition("_")
    if start != prefix or len(rest) != 26 or not rest.isascii():
        return None
    try:
        return uuid.UUID(bytes=base64.b32decode(rest.upper() + "======"))
    except (binascii.Error, ValueError):
        return None
