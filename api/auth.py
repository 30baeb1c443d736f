"""Whose request it is: the API key in its header, and as whom the holder acts."""

from typing import cast

from django.http import HttpRequest

from accounts import keys
from accounts.models import ApiKey
from core.actor import Actor


def authenticate(request: HttpRequest) -> ApiKey:
    """The usable key in `X-API-Key`; raises `BadKey`, the same for every reason."""
    return keys.authenticate(request.headers.get("X-API-Key", ""))


def key_of(request: HttpRequest) -> ApiKey:
    """The key that `authenticate` found for this request."""
    return cast(ApiKey, request.auth)  # type: ignore[attr-defined]


def actor_of(request: HttpRequest) -> Actor:
    """As whom this request acts."""
    return keys.actor_of(key_of(request))
