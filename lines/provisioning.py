"""Bringing provider accounts and lines into the installation."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from core.actor import Actor, Role
from core.phones import e164
from core.secrets import seal
from events.record import record
from lines.callbacks import callback_url
from lines.models import Line, ProviderAccount
from lines.providers import driver_of, opened
from lines.providers.base import Installed

# So long a callback secret stays valid after a newer one.
OVERLAP = timedelta(days=1)


def add_account(
    actor: Actor, *, provider: str, name: str, base_url: str, token: str, callback_secret: str
) -> ProviderAccount:
    """A provider account with its credentials; raises `Forbidden` unless the actor is an operator.

    The same name again updates it: an address or a credential that changed.
    """
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        account, created = ProviderAccount.objects.update_or_create(
            name=name,
            defaults={"provider": provider, "base_url": base_url, "sealed_token": seal(token)},
            create_defaults={
                "provider": provider,
                "base_url": base_url,
                "sealed_token": seal(token),
                "sealed_callback_secret": seal(callback_secret),
            },
        )
        if created:
            record(actor, "provider_account.created", subject_id=account.id, data={"provider": provider, "name": name})
    return account


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
        until = (timezone.now() + OVERLAP).isoformat()
        former = [{"sealed": row.sealed_callback_secret, "until": until}] if opened(row).callback_secret else []
        row.former_callback_secrets = [*former, *row.former_callback_secrets]
        row.sealed_callback_secret = seal(secret)
        row.save(update_fields=["sealed_callback_secret", "former_callback_secrets"])


def add_line(actor: Actor, account: ProviderAccount, *, address: str, kind: str) -> Line:
    """A line in service; its health is unknown until it is probed. The same address again is the same line."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        line, created = Line.objects.get_or_create(
            address=e164(address), defaults={"account": account, "kind": kind, "wanted": Line.Wanted.IN_SERVICE}
        )
        if created:
            record(actor, "line.added", subject_id=line.id, data={"kind": kind})
    return line
