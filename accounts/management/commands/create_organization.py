"""`manage.py create_organization`: a new tenant."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.members import create_organization
from core.actor import Actor
from core.errors import DomainError


class Command(BaseCommand):
    help = "Make an organization; its first key comes from create_api_key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="Unique in any case, at most 100 characters.")
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--json", action="store_true", help="Print JSON: organization_id and name.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            organization = create_organization(Actor.system("create_organization"), name=options["name"])
        except DomainError as refused:
            raise CommandError(refused.message) from refused
        made = {"organization_id": organization.public_id, "name": organization.name}
        self.stdout.write(json.dumps(made) if options["json"] else f"{organization.public_id}  {organization.name}")
