"""The drivers, by the name that a provider account carries: one module of this package each."""

import importlib
import pkgutil
from datetime import datetime
from typing import Any

from django.utils import timezone

from core import secrets
from lines.models import ProviderAccount
from lines.providers.base import Account, Deadlines, Driver

# Filled as they are asked for: the libraries of some vendors take a second to load.
_DRIVERS: dict[str, Driver] = {}


def names() -> list[str]:
    """Every provider that this version knows."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def driver_of(account: ProviderAccount) -> Driver:
    """The driver of this account's provider; raises `KeyError` for a provider this version does not know."""
    return driver_named(account.provider)


def driver_named(name: str) -> Driver:
    """The driver of that name; raises `KeyError`."""
    if name not in _DRIVERS:
        if name not in names():
            raise KeyError(name)
        _DRIVERS[name] = importlib.import_module(f"{__name__}.{name}").DRIVER
    return _DRIVERS[name]


def opened(account: ProviderAccount, *, correlation: str = "") -> Account:
    """The account with its credentials in the clear, for one call."""
    settings: dict[str, Any] = account.settings
    own = {name: float(wait) for name, wait in settings.get("deadlines", {}).items()}
    usual = driver_of(account).deadlines
    return Account(
        base_url=account.base_url,
        token=secrets.unseal(account.sealed_token),
        callback_secrets=tuple(_callback_secrets(account)),
        settings=settings,
        deadlines=Deadlines(**{name: own.get(name, getattr(usual, name)) for name in Deadlines.__slots__}),
        correlation=correlation,
    )


def _callback_secrets(account: ProviderAccount) -> list[str]:
    now = timezone.now()
    former = [one["sealed"] for one in account.former_callback_secrets if datetime.fromisoformat(one["until"]) > now]
    return [secrets.unseal(sealed) for sealed in [account.sealed_callback_secret, *former] if sealed]
