"""The drivers, by the name that a provider account carries."""

from core import secrets
from lines.models import ProviderAccount
from lines.providers.base import Account, Driver
from lines.providers.simulated import SimulatedDriver

_DRIVERS: dict[str, Driver] = {driver.name: driver for driver in [SimulatedDriver()]}


def driver_of(account: ProviderAccount) -> Driver:
    """The driver of this account's provider; raises `KeyError` for a provider this version does not know."""
    return _DRIVERS[account.provider]


def opened(account: ProviderAccount) -> Account:
    """The account with its credentials in the clear, for one call."""
    return Account(
        base_url=account.base_url,
        token=secrets.unseal(account.sealed_token),
        callback_secret=secrets.unseal(account.sealed_callback_secret),
    )
