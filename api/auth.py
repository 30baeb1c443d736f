"""Whose request it is: the API key in its header, and as whom the holder acts."""

from typing import cast

from django.http import HttpRequest
from ninja.security import APIKeyHeader
from ninja.security.base import AuthBase

from accounts import keys
from accounts.models import ApiKey, Identity
from core.actor import Actor


class KeyHeader(APIKeyHeader):
    """The usable key in `X-API-Key`; raises `BadKey`, the same for every reason."""

    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> ApiKey:
        return keys.authenticate(key or "")


class Authorization(AuthBase):
    """The usable key in `Authorization` behind one of the `schemes`; raises `BadKey`, the same for every reason."""

    openapi_type = "http"

    def __init__(self, *schemes: str) -> None:
        self.openapi_scheme = schemes[0].lower()
        self._schemes = {scheme.lower() for scheme in schemes}
        super().__init__()

    def __call__(self, request: HttpRequest) -> ApiKey:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return keys.authenticate(key.strip() if scheme.lower() in self._schemes else "")


def key_of(request: HttpRequest) -> ApiKey:
    """The key that authenticated this request."""
    return cast(ApiKey, request.auth)  # type: ignore[attr-defined]


def own_identity(request: HttpRequest) -> Identity | None:
    """The identity that the request's key is bound to, None for an admin's."""
    return key_of(request).identity


def actor_of(request: HttpRequest) -> Actor:
    """As whom this request acts."""
    return keys.actor_of(key_of(request))
