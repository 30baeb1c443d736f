"""`manage.py provider_account`: bring an account with a provider into the installation, and its lines into service."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.actor import Actor
from core.errors import DomainError
from lines import health, provisioning
from lines.callbacks import callback_url
from lines.models import Line, ProviderAccount
from lines.providers import driver_of, names
from lines.providers.base import HELPER_LOST, NOT_SUPPORTED, ListedLine, ProviderCallFailed

_ACTOR = Actor.system("provider_account")


class Command(BaseCommand):
    help = (
        "Make or change a provider account, have the provider post to us, and take lines of it into service."
        " Credentials come from files, never from the command line."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="What the account is called here.")
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--provider", choices=names(), help="Needed for a new account.")
        parser.add_argument("--base-url", metavar="URL", help="Where the provider's API answers.")
        parser.add_argument("--token-file", metavar="FILE", help="Holds the credential; - reads standard input.")
        parser.add_argument("--secret-file", metavar="FILE", help="Holds the secret that proves callbacks.")
        parser.add_argument("--setting", action="append", default=[], metavar="NAME=JSON", help="Repeatable.")
        parser.add_argument("--limit", action="append", default=[], metavar="NAME=JSON", help="Pace; repeatable.")
        parser.add_argument("--line", action="append", default=[], metavar="ADDRESS", help="Repeatable.")
        parser.add_argument("--kind", choices=Line.Kind.values, default=Line.Kind.POOL, help="Of the lines named.")
        parser.add_argument(
            "--service", choices=Line.Service.values, default="", help="Of the lines named; iMessage where there is it."
        )
        parser.add_argument("--no-callbacks", action="store_true", help="Do not register for callbacks.")
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            account = self._account(options)
            listed = _listed(account, named=options["line"])
            if not options["no_callbacks"]:
                provisioning.install_callbacks(account)
                account.refresh_from_db()
            self._take(account, listed, options)
        except DomainError as refused:
            raise CommandError(refused.message) from refused
        except ProviderCallFailed as failed:
            raise CommandError(f"The provider did not take the call: {failed}") from failed
        self._print(account, listed, as_json=options["json"])

    def _account(self, options: dict[str, Any]) -> ProviderAccount:
        """The account, made or changed as the options say."""
        known = ProviderAccount.objects.filter(name=options["name"]).first()
        return provisioning.add_account(
            _ACTOR,
            name=options["name"],
            provider=options["provider"] or "",
            base_url=options["base_url"] or "",
            token=_content(options["token_file"]),
            callback_secret=_content(options["secret_file"]),
            settings=_merged(known.settings if known else {}, options["setting"]),
            limits=_merged(known.limits if known else {}, options["limit"]),
        )

    def _take(self, account: ProviderAccount, listed: list[ListedLine], options: dict[str, Any]) -> None:
        strange = sorted(set(options["line"]) - {line.address for line in listed})
        if strange:
            raise CommandError(f"The provider lists no line {', '.join(strange)} for this account.")
        for address in options["line"]:
            line = provisioning.add_line(
                _ACTOR, account, address=address, kind=options["kind"], service=options["service"]
            )
            health.probe(line)

    def _print(self, account: ProviderAccount, listed: list[ListedLine], *, as_json: bool) -> None:
        ours = {line.address: line for line in account.lines.all()}
        rows = [
            {
                "address": line.address,
                "provider_state": line.state,
                "kind": ours[line.address].kind if line.address in ours else None,
                "seen": ours[line.address].seen if line.address in ours else None,
            }
            for line in listed
        ]
        if as_json:
            self.stdout.write(
                json.dumps({"id": str(account.id), "callback_url": _callback_url(account), "lines": rows})
            )
            return
        self.stdout.write(f"{account.name} ({account.provider}), callbacks at {_callback_url(account)}")
        for row in rows:
            here = f"{row['kind']}, {row['seen']}" if row["kind"] else "not taken"
            self.stdout.write(f"  {row['address']}  {row['provider_state'] or '-'}  {here}")


def _listed(account: ProviderAccount, *, named: list[str]) -> list[ListedLine]:
    """What the provider lists; where it cannot list just now, the operator's word for a line is taken."""
    try:
        return provisioning.listed_lines(account)
    except ProviderCallFailed as failed:
        if named and failed.error and failed.error.code in {HELPER_LOST, NOT_SUPPORTED}:
            return [ListedLine(address) for address in named]
        raise


def _callback_url(account: ProviderAccount) -> str:
    """Without the secret that some providers' paths end with."""
    url = callback_url(account)
    return f"{url.rpartition('/')[0]}/..." if driver_of(account).secret_in_path else url


def _content(file: str | None) -> str:
    if not file:
        return ""
    try:
        return (sys.stdin.read() if file == "-" else Path(file).read_text()).strip()
    except OSError as unreadable:
        raise CommandError(f"{file} cannot be read: {unreadable.strerror}.") from unreadable


def _merged(known: dict[str, Any], given: list[str]) -> dict[str, Any] | None:
    """What is known with those named over it; None when none are."""
    if not given:
        return None
    merged = dict(known)
    for one in given:
        name, _, value = one.partition("=")
        try:
            merged[name] = json.loads(value)
        except ValueError as unreadable:
            raise CommandError(f"{name}: the value must be JSON, so a text stands in quotes.") from unreadable
    return merged
