"""`manage.py create_api_key`: a key for a program, printed once."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.keys import create_key, dressed
from accounts.naming import identity_named, organization_named
from core.actor import Actor
from core.dialects import Dialect
from core.errors import DomainError


class Command(BaseCommand):
    help = "Make an API key: an admin key of the organization, or one bound to an identity. It is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--organization", required=True, metavar="NAME_OR_ID")
        parser.add_argument("--identity", metavar="HANDLE", help="Bind the key to this identity.")
        parser.add_argument("--label", required=True, help="What the key is for.")
        parser.add_argument(
            "--dialect",
            choices=Dialect.values,
            default=Dialect.INKBOX,
            help="Print it in the form that these clients demand; every API takes every form.",
        )
        parser.add_argument("--json", action="store_true", help="Print JSON: id and api_key.")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = organization_named(options["organization"])
        handle = options["identity"]
        try:
            key, text = create_key(
                Actor.system("create_api_key"),
                organization=organization,
                identity=identity_named(organization, handle) if handle else None,
                label=options["label"],
            )
        except DomainError as refused:
            raise CommandError(refused.message) from refused
        text = dressed(text, options["dialect"])
        if options["json"]:
            self.stdout.write(json.dumps({"id": key.id, "api_key": text}))
        else:
            self.stdout.write(f"{text}\nKeep it now: only a digest is stored, it cannot be shown again.")
