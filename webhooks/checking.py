"""Helping a developer whose signature check fails: what was signed, and by which key, without ever telling a key."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils import timezone

from accounts.models import Identity
from core import secrets
from core.actor import Actor
from core.errors import Invalid
from dialects import agentphone, contiguity, inkbox
from webhooks.models import Subscription
from webhooks.signing import PREFIX, KnownKey, endpoint_keys_with_secrets, keys_with_secrets, require_owner

MOST_HEADERS = 16_000
MOST_BODY = 200_000

# Verifiers refuse what was signed longer ago, or later, than this (Standard Webhooks: five minutes).
TOLERANCE_SECONDS = 300

Keys = list[tuple[KnownKey, str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one signature header: the parts of what was signed, and the key that made it, if any of ours did."""

    header: str
    parts: list[tuple[str, str]]
    key: KnownKey | None
    words: str
    signed_at: datetime | None

    @property
    def matches(self) -> bool:
        return self.key is not None


def check_signature(
    actor: Actor, identity: Identity | None, *, headers: str, body: str, endpoints: Sequence[Subscription] = ()
) -> list[Verdict]:
    """Whether the signatures among these headers were made for this body by a key of the identity's or the endpoints'.

    `headers` are lines of `Name: value` as received, `body` the bytes received as text. A verdict for each signature
    header of any dialect that is there. Raises `Forbidden`, `Invalid`.
    """
    for owner in {identity, *(endpoint.identity for endpoint in endpoints)}:
        require_owner(actor, owner)
    if len(headers) > MOST_HEADERS or len(body) > MOST_BODY:
        raise Invalid("That is more than any delivery of ours holds.")
    given, keys = _parsed(headers), keys_with_secrets(identity) if identity else []
    for endpoint in endpoints:
        keys = keys + (endpoint_keys_with_secrets(endpoint) if endpoint.has_own_secret else [])
    found = [verdict for check in _CHECKS if (verdict := check(given, body, keys))]
    if not found:
        raise Invalid(f"There is no signature header among these: {', '.join(SIGNATURE_HEADERS)}.")
    return found


def _parsed(headers: str) -> dict[str, str]:
    pairs = [line.partition(":") for line in headers.splitlines() if ":" in line]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _standard(given: Mapping[str, str], body: str, keys: Keys) -> Verdict | None:
    if "webhook-signature" not in given:
        return None
    signatures = [text.removeprefix("v1,") for text in given["webhook-signature"].split() if text.startswith("v1,")]

    def made(secret: str, signed: bytes) -> str:
        key = base64.b64decode(secret.removeprefix(PREFIX))
        return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()

    return _judged("webhook-signature", ("webhook-id", "webhook-timestamp"), given, body, keys, signatures, made)


def _inkbox(given: Mapping[str, str], body: str, keys: Keys) -> Verdict | None:
    if inkbox.SIGNATURE_HEADER.lower() not in given:
        return None
    signatures = [given[inkbox.SIGNATURE_HEADER.lower()].removeprefix("sha256=").lower()]

    def made(secret: str, signed: bytes) -> str:
        return hmac.digest(secret.removeprefix(PREFIX).encode(), signed, hashlib.sha256).hex()

    names = (inkbox.REQUEST_ID_HEADER, inkbox.TIMESTAMP_HEADER)
    return _judged(inkbox.SIGNATURE_HEADER, names, given, body, keys, signatures, made)


def _agentphone(given: Mapping[str, str], body: str, keys: Keys) -> Verdict | None:
    if agentphone.SIGNATURE_HEADER.lower() not in given:
        return None
    signatures = [given[agentphone.SIGNATURE_HEADER.lower()].removeprefix("sha256=")]
    return _judged(agentphone.SIGNATURE_HEADER, (agentphone.TIMESTAMP_HEADER,), given, body, keys, signatures, _whole)


def _contiguity(given: Mapping[str, str], body: str, keys: Keys) -> Verdict | None:
    if contiguity.SIGNATURE_HEADER.lower() not in given:
        return None
    pairs = [part.partition("=") for part in given[contiguity.SIGNATURE_HEADER.lower()].split(",")]
    told = {"t": next((value for name, _, value in pairs if name == "t"), "")}
    # Its verifier looks at the first one alone.
    signatures = [value for name, _, value in pairs if name == "v1"][:1]
    return _judged(contiguity.SIGNATURE_HEADER, ("t",), told, body, keys, signatures, _whole)


def _whole(secret: str, signed: bytes) -> str:
    """By the secret as it was issued, its prefix included."""
    return hmac.digest(secret.encode(), signed, hashlib.sha256).hex()


def _judged(
    header: str,
    names: Sequence[str],
    given: Mapping[str, str],
    body: str,
    keys: Keys,
    signatures: list[str],
    made: Callable[[str, bytes], str],
) -> Verdict:
    values = [given.get(name.lower(), "") for name in names]

    def key_for(text: str) -> KnownKey | None:
        signed = ".".join((*values, text)).encode("utf-8", "replace")
        return next(
            (key for key, secret in keys if any(secrets.same(made(secret, signed), each) for each in signatures)), None
        )

    # What a form sends has other line ends, and often one more, than what was received.
    variants = list(dict.fromkeys((body, body.replace("\r\n", "\n"), body.replace("\r\n", "\n").strip())))
    key = next(filter(None, map(key_for, variants)), None)
    parts = [*zip(names, values, strict=True), ("body", f"{len(variants[-1].encode('utf-8', 'replace'))} bytes")]
    signed_at = _moment(values[-1])
    return Verdict(header, parts, key, _words(key, parts, keys, signatures, signed_at), signed_at)


def _words(
    key: KnownKey | None,
    parts: list[tuple[str, str]],
    keys: Keys,
    signatures: list[str],
    signed_at: datetime | None,
) -> str:
    """What to make of it, the likeliest reason first."""
    if missing := [name for name, value in parts if not value]:
        return f"Paste the header {' and '.join(missing)} too: it is part of what is signed."
    if not signatures:
        return "The header holds no signature of a version that we make."
    if not keys:
        return "There is no key, so nothing of ours is signed."
    if key is None:
        return (
            "None of the present keys made it for exactly this body. Most often the body was parsed and written "
            "again before it was checked; sign the bytes as they came. Or the signature is of a key that is gone."
        )
    if signed_at and abs((timezone.now() - signed_at).total_seconds()) > TOLERANCE_SECONDS:
        return "It matches. It was signed more than five minutes ago: verifiers refuse it by now, as they should."
    return "It matches."


_CHECKS = (_standard, _inkbox, _agentphone, _contiguity)
SIGNATURE_HEADERS = (
    "webhook-signature",
    inkbox.SIGNATURE_HEADER,
    agentphone.SIGNATURE_HEADER,
    contiguity.SIGNATURE_HEADER,
)


def _moment(seconds: str) -> datetime | None:
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11):
        return None
    return datetime.fromtimestamp(int(seconds), UTC)
