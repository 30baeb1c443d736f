"""Secrets: random tokens, keyed digests for what is only compared, sealed boxes for what must be read again."""

import base64
import functools
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def new_token(size: int = 32) -> str:
    """A random URL-safe text from `size` random bytes."""
    return secrets.token_urlsafe(size)


def digest(secret: str) -> str:
    """SHA-256 of the secret keyed with the installation's pepper, in hex.

    A fast hash is right for random secrets of 160 bits and more (reliability.md, J1).
    """
    return _digest(settings.SECRET_KEY, secret)


def matches(secret: str, stored: str) -> bool:
    """Whether `stored` is the digest of `secret`, under the current key or a former one, in constant time."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any(same(_digest(key, secret), stored) for key in keys)


def same(left: str, right: str) -> bool:
    """Equality in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())


def seal(secret: str) -> str:
    """Encrypt a secret that must be read again, with the installation's key."""
    return _box().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """What `seal` was given; raises `cryptography.fernet.InvalidToken` when the key was lost."""
    return _box().decrypt(sealed.encode()).decode()


@functools.cache
def _box() -> MultiFernet:
    return MultiFernet([_fernet(key) for key in [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]])


def _fernet(key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"seal:" + key.encode()).digest()))


def _digest(key: str, secret: str) -> str:
    return hmac.new(key.encode(), b"digest:" + secret.encode(), hashlib.sha256).hexdigest()
