"""Types by content: what the allow-list names, and what it must not."""

import pytest

from imessage.filetypes import HEAD, INLINE, UNKNOWN, sniff


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
        (b"GIF89a\x01\x00", "image/gif"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "image/heic"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00", "video/mp4"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00", "video/quicktime"),
        (b"\x00\x00\x00\x1cftypM4A \x00\x00\x00\x00", "audio/mp4"),
        (b"caff\x00\x01\x00\x00desc", "audio/x-caf"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\x00", "audio/mpeg"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"BEGIN:VCARD\r\nVERSION:3.0\r\n", "text/vcard"),
        ("Grüße, 你好".encode(), "text/plain"),
        (("é" * HEAD).encode()[1 : HEAD + 1], UNKNOWN),
        (b"a" + ("é" * HEAD).encode()[: HEAD - 1], "text/plain"),
    ],
)
def test_known_kinds_are_told_by_their_first_bytes(head: bytes, kind: str) -> None:
    assert sniff(head) == kind


@pytest.mark.parametrize(
    "head",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"<!DOCTYPE html><script>alert(1)</script>",
        b"\xef\xbb\xbf  <html>",
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"\x00\x00\x00\x1cftypavif",
        b"RIFF\x24\x00\x00\x00WAVE",
        b"\xff\xfe<\x00h\x00t\x00m\x00l\x00",
        b"MZ\x90\x00",
        b"\xff\xfb\xf0\x00",
        b"",
    ],
)
def test_everything_else_has_no_name(head: bytes) -> None:
    assert sniff(head) == UNKNOWN


def test_what_may_carry_script_is_never_shown_in_place() -> None:
    assert not INLINE & {UNKNOWN, "application/pdf", "text/plain", "text/vcard", "image/svg+xml"}
