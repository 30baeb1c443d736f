"""`manage.py create_webhook`: an endpoint for events, in one of the dialects; its secret is printed once."""

import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Identity, Organization
from accounts.naming import identity_named, organization_named
from core.actor import Actor
from core.errors import DomainError
from webhooks.models import Subscription
from webhooks.subscribing import create_subscription, delete_subscription, save_hook
from webhooks.vendors import VENDORS


class Command(BaseCommand):
    help = (
        "Tell an endpoint of events, in a dialect: those of one identity, or of all of the organization. "
        "AgentPhone knows one endpoint for all and one for each identity: saved again it has a new address and secret."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--organization", required=True, metavar="NAME_OR_ID")
        parser.add_argument("--dialect", choices=list(VENDORS), default=Subscription.Dialect.INKBOX.value)
        parser.add_argument("--identity", metavar="HANDLE", help="Only this identity's events; otherwise all.")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--url", help="The endpoint's address.")
        what.add_argument("--list", action="store_true", help="List the organization's endpoints instead.")
        what.add_argument("--remove", metavar="ID", help="End this endpoint instead.")
        parser.add_argument("--json", action="store_true", help="Print JSON: id and secret, or the list.")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = organization_named(options["organization"])
        try:
            if options["list"]:
                self._show([_row(each) for each in _kept(organization)], options["json"])
            elif options["remove"]:
                subscription = _with_id(organization, options["remove"])
                delete_subscription(_ACTOR, subscription)
                self._show([_row(subscription)], options["json"])
            else:
                handle = options["identity"]
                owner = identity_named(organization, handle) if handle else organization
                self._make(owner, options["dialect"], options["url"], as_json=options["json"])
        except DomainError as refused:
            raise CommandError(refused.message) from refused

    def _make(self, owner: Identity | Organization, dialect: str, url: str, *, as_json: bool) -> None:
        subscription, secret = _made(owner, dialect, url)
        if as_json:
            self.stdout.write(json.dumps({"id": str(subscription.id), "secret": secret}))
        elif secret:
            self.stdout.write(f"{secret}\nKeep it now: it signs what is sent, and is not printed again.")
        else:
            self.stdout.write(f"{subscription.id}\nIts identity's key signs, which is there already.")

    def _show(self, rows: list[dict[str, Any]], as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            self.stdout.write("  ".join(str(value) for value in row.values()))


_ACTOR = Actor.system("create_webhook")


def _made(owner: Identity | Organization, dialect: str, url: str) -> tuple[Subscription, str | None]:
    if VENDORS[dialect].at_most_one:
        return save_hook(_ACTOR, owner, url=url)
    return create_subscription(_ACTOR, owner, url=url, dialect=dialect)


def _kept(organization: Organization) -> list[Subscription]:
    rows = Subscription.objects.kept().filter(organization=organization).select_related("identity")
    return list(rows.order_by("created_at", "id"))


def _with_id(organization: Organization, text: str) -> Subscription:
    try:
        key = UUID(text)
    except ValueError as malformed:
        raise CommandError(f"{text!r} is no endpoint's id.") from malformed
    found = next((row for row in _kept(organization) if row.pk == key), None)
    if found is None:
        raise CommandError(f"{organization} has no endpoint {text}.")
    return found


def _row(subscription: Subscription) -> dict[str, Any]:
    return {
        "id": str(subscription.id),
        "dialect": subscription.dialect,
        "scope": subscription.scope,
        "status": subscription.status,
        "url": subscription.url,
    }
