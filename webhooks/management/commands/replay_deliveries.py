"""`manage.py replay_deliveries`: queue webhook deliveries again that failed."""

import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organization
from accounts.naming import organization_named
from core.actor import Actor
from core.errors import DomainError
from core.moments import moment_of
from webhooks.delivering import replay_failed_since
from webhooks.models import Subscription


class Command(BaseCommand):
    help = (
        "Queue every failed webhook delivery since a moment again, with the same event ids. "
        "Endpoints that are disabled or no longer want the events are left out: enable them first."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--organization", required=True, metavar="NAME_OR_ID")
        parser.add_argument(
            "--since",
            required=True,
            metavar="MOMENT",
            help="ISO 8601, such as 2026-06-09 or 2026-06-09T12:00:00+00:00.",
        )
        parser.add_argument("--subscription", metavar="ID", help="Only to this endpoint.")
        parser.add_argument("--json", action="store_true", help="Print JSON: replayed.")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = organization_named(options["organization"])
        try:
            count = replay_failed_since(
                Actor.system("replay_deliveries"),
                moment_of(options["since"]),
                _subscription(organization, options["subscription"]),
                organization_id=organization.id,
            )
        except DomainError as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(json.dumps({"replayed": count}) if options["json"] else f"Queued again: {count}.")


def _subscription(organization: Organization, text: str | None) -> Subscription | None:
    if text is None:
        return None
    try:
        key = UUID(text)
    except ValueError as malformed:
        raise CommandError(f"{text!r} is no subscription's id.") from malformed
    subscription = Subscription.objects.kept().filter(pk=key, organization=organization).first()
    if subscription is None:
        raise CommandError(f"{organization} has no subscription {text}.")
    return subscription
