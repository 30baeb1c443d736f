"""What kind of file some bytes are, by their content alone; names and declared types are not believed.

Only the kinds on this list have a name. Everything else, SVG, HTML and archives included, is `UNKNOWN`: kept, and
served only as a download.
"""

import re
from collections.abc import Mapping

UNKNOWN = "application/octet-stream"

# The extension that goes into links: some providers guess by it.
EXTENSIONS: Mapping[str, str] = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/heic": "heic",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "audio/mp4": "m4a",
    "audio/x-caf": "caf",
    "audio/mpeg": "mp3",
    "application/pdf": "pdf",
    "text/vcard": "vcf",
    "text/plain": "txt",
}

# Shown in place; a PDF may carry script and texts may look like pages, so those are downloads.
INLINE = frozenset(kind for kind in EXTENSIONS if kind.startswith(("image/", "video/", "audio/")))

# How much of a file `sniff` wants to see.
HEAD = 4096

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"caff", "audio/x-caf"),
    (b"ID3", "audio/mpeg"),
    (b"%PDF-", "application/pdf"),
)
# The major brand of an ISO media file, right after `ftyp`.
_BRANDS: Mapping[bytes, str] = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "image/heic"),
    b"qt  ": "video/quicktime",
    **dict.fromkeys((b"M4A ", b"M4B "), "audio/mp4"),
    **dict.fromkeys((b"mp41", b"mp42", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"avc1", b"M4V "), "video/mp4"),
}
# An MPEG frame without tags: 11 bits of sync, version 1, 2 or 2.5, layer III, and a bit rate that exists.
_MP3_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]", re.DOTALL)
_VCARD = re.compile(rb"(\xef\xbb\xbf)?BEGIN:VCARD\r?\n", re.IGNORECASE)
_NOT_IN_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<")


def sniff(head: bytes) -> str:
    """The content type of a file from its first `HEAD` bytes; `UNKNOWN` for whatever is not on the list."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], UNKNOWN)
    if _MP3_FRAME.match(head):
        return "audio/mpeg"
    if _VCARD.match(head):
        return "text/vcard"
    return "text/plain" if _is_text(head) else UNKNOWN


def _is_text(head: bytes) -> bool:
    """Plain words in UTF-8; what opens like markup may be a page, and is not named."""
    if not head or _NOT_IN_TEXT.search(head) or _MARKUP.match(head):
        return False
    # The head may end inside a letter of up to four bytes.
    for cut in range(4 if len(head) == HEAD else 1):
        try:
            head[: len(head) - cut].decode()
        except UnicodeDecodeError:
            continue
        return True
    return False
