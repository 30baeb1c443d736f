"""Bringing provider accounts and lines into the installation."""

import ipaddress
from datetime import timedelta
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone

from core.actor import Actor, Role
from core.errors import Invalid
from core.phones import e164
from core.secrets import seal
from events.record import record
from lines.callbacks import callback_url
from lines.models import Line, ProviderAccount
from lines.pacing import checked
from lines.providers import driver_of, names, opened
from lines.providers.base import Installed, ListedLine

# So long a callback secret stays valid after a newer one.
OVERLAP = timedelta(days=1)


def add_account(
    actor: Actor,
    *,
    name: str,
    provider: str = "",
    base_url: str = "",
    token: str = "",
    callback_secret: str = "",
    settings: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
) -> ProviderAccount:
    """A provider account with its credentials; raises `Forbidden` unless the actor is an operator, and `Invalid`.

    The same name again changes what is given, and nothing else. A new account needs a provider, an address and a
    token; without a callback secret it is given a random one.
    """
    actor.require(Role.OPERATOR)
    if provider and provider not in names():
        raise Invalid(f"'provider' must be one of {', '.join(names())}.")
    with transaction.atomic():
        account = ProviderAccount.objects.select_for_update(no_key=True).filter(name=name).first()
        if account is None:
            account = _new_account(name, provider=provider, base_url=base_url, token=token, secret=callback_secret)
        before = _as_kept(account)
        account.provider = provider or account.provider
        account.base_url = _checked_url(base_url) if base_url else account.base_url
        account.settings = account.settings if settings is None else settings
        account.limits = account.limits if limits is None else checked(limits)
        if token and token != opened(account).token:
            account.sealed_token = seal(token)
        if callback_secret and callback_secret != opened(account).callback_secret:
            _replace_secret(account, callback_secret)
        is_new, has_changed = account._state.adding, _as_kept(account) != before
        account.save()
        data = {"provider": account.provider, "name": name}
        if is_new:
            record(actor, "provider_account.created", subject_id=account.id, data=data)
        elif has_changed:
            record(actor, "provider_account.changed", subject_id=account.id, data=data)
    return account


def listed_lines(account: ProviderAccount) -> list[ListedLine]:
    """The lines that the provider says the account has. Raises `ProviderCallFailed`."""
    return driver_of(account).list_lines(opened(account))


def install_callbacks(account: ProviderAccount) -> Installed:
    """Ask the provider to post to us; repeating it changes nothing. Raises `ProviderCallFailed`.

    A secret that the provider made is kept: it is shown only once. The one before stays valid for a while, for
    what is still on its way.
    """
    installed = driver_of(account).install_callbacks(opened(account), url=callback_url(account))
    if installed.secret:
        _keep_secret(account, installed.secret)
    return installed


def _keep_secret(account: ProviderAccount, secret: str) -> None:
    with transaction.atomic():
        row = ProviderAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
        _replace_secret(row, secret)
        row.save(update_fields=["sealed_callback_secret", "former_callback_secrets"])


def _replace_secret(account: ProviderAccount, secret: str) -> None:
    until = (timezone.now() + OVERLAP).isoformat()
    former = [{"sealed": account.sealed_callback_secret, "until": until}]
    account.former_callback_secrets = [*former, *account.former_callback_secrets]
    account.sealed_callback_secret = seal(secret)


def _new_account(name: str, *, provider: str, base_url: str, token: str, secret: str) -> ProviderAccount:
    if not (provider and base_url and token):
        raise Invalid("A new account needs a provider, the address of its API and a token.")
    return ProviderAccount(
        name=name,
        provider=provider,
        base_url=_checked_url(base_url),
        sealed_token=seal(token),
        sealed_callback_secret=seal(secret or token_urlsafe(32)),
    )


def _as_kept(account: ProviderAccount) -> tuple[Any, ...]:
    credentials = (account.sealed_token, account.sealed_callback_secret)
    return (account.provider, account.base_url, *credentials, account.settings, account.limits)


def _service(account: ProviderAccount, asked: str) -> str:
    there_are = driver_of(account).card.services
    if asked and asked not in there_are:
        raise Invalid(f"{account.provider} has {', '.join(there_are)}; a line cannot be of another service.")
    return asked or (Line.Service.IMESSAGE if "imessage" in there_are else Line.Service.SMS)


def _address(text: str) -> str:
    """A line's address: a number, or an Apple ID's e-mail."""
    return text.lower() if "@" in text else e164(text)


def _checked_url(url: str) -> str:
    """The address of a provider's API. A credential travels with every call: plain HTTP stays within a network."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
        raise Invalid("The address of a provider's API is like https://host:port, with no password and no query.")
    if parts.scheme == "http" and not _is_near(parts.hostname):
        raise Invalid("Over plain HTTP a provider must be within a private network; use https.")
    return url.rstrip("/")


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.rpartition(".")[2] in {"local", "lan", "internal", "home"}


def add_line(actor: Actor, account: ProviderAccount, *, address: str, kind: str, service: str = "") -> Line:
    """A line in service; its health is unknown until it is probed. The same address again is the same line.

    `service` is what it carries; left out, iMessage where the provider has it. Raises `Forbidden` unless the actor is
    an operator, `NotE164`, `Invalid` for a line of another account or a service that the provider does not have.
    """
    actor.require(Role.OPERATOR)
    service = _service(account, service)
    made = {"account": account, "kind": kind, "service": service, "wanted": Line.Wanted.IN_SERVICE}
    with transaction.atomic():
        line, created = Line.objects.select_related("account").get_or_create(address=_address(address), defaults=made)
        if line.account_id != account.id:
            raise Invalid(f"{line.address} is a line of the account {line.account.name!r}.")
        if created:
            record(actor, "line.added", subject_id=line.id, data={"kind": kind})
    return line
