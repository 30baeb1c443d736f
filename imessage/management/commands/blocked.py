"""`manage.py blocked`: what contact rules and filter modes kept from the agents, for the record."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.naming import identity_named, organization_named
from core.errors import Invalid
from core.moments import moment_of
from core.tables import csv_of
from imessage.models import Message
from imessage.shapes import iso

_COLUMNS = ("id", "at", "handle", "number", "text", "media", "filter_mode", "rule_id", "rule_revision", "service")


class Command(BaseCommand):
    help = "List blocked messages, newest first, with the verdict they were given."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--organization", required=True, metavar="NAME_OR_ID")
        parser.add_argument("--identity", metavar="HANDLE", help="Only of this identity.")
        parser.add_argument("--number", help="Only from this number.")
        parser.add_argument("--since", metavar="MOMENT", help="ISO 8601; a bare date begins at midnight UTC.")
        parser.add_argument("--until", metavar="MOMENT", help="Before this moment.")
        parser.add_argument("--limit", type=int, help="At most so many.")
        shapes = parser.add_mutually_exclusive_group()
        shapes.add_argument("--json", action="store_true", help="Print JSON: a list of messages.")
        shapes.add_argument("--csv", action="store_true", help="Print CSV that is safe to open in a spreadsheet.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rows = [_shown(message) for message in _found(options)]
        except Invalid as refused:
            raise CommandError(refused.message) from refused
        if options["json"]:
            self.stdout.write(json.dumps(rows, ensure_ascii=False))
        elif options["csv"]:
            table = csv_of(_COLUMNS, ([row[name] for name in _COLUMNS] for row in rows))
            self.stdout.write(table, ending="")
        else:
            for row in rows:
                self.stdout.write("{at}  {number} → @{handle}  {text!r}".format(**row))


def _found(options: dict[str, Any]) -> Iterable[Message]:
    organization = organization_named(options["organization"])
    rows = Message.objects.blocked().filter(organization=organization).select_related("identity")
    if options["identity"]:
        rows = rows.filter(identity=identity_named(organization, options["identity"]))
    if options["number"]:
        rows = rows.filter(human=options["number"])
    if options["since"]:
        rows = rows.filter(created_at__gte=moment_of(options["since"]))
    if options["until"]:
        rows = rows.filter(created_at__lt=moment_of(options["until"]))
    if options["limit"] is not None and options["limit"] < 1:
        raise Invalid("--limit is at least 1.")
    return rows.prefetch_related("parts").order_by("-created_at", "-id")[: options["limit"]]


def _shown(message: Message) -> dict[str, Any]:
    return {
        "id": str(message.id),
        "at": iso(message.created_at),
        "handle": message.identity.handle,
        "number": message.human,
        "text": message.text,
        "media": sum(part.kind == part.Kind.MEDIA for part in message.parts.all()),
        "filter_mode": message.filter_mode,
        "rule_id": str(message.rule_id) if message.rule_id else None,
        "rule_revision": message.rule_revision,
        "service": message.service,
    }
