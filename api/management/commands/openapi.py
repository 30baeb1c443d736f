"""`manage.py openapi`: a dialect's document, as it is kept in docs/reference/."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from api.document import document
from api.doors import DOORS


class Command(BaseCommand):
    help = "Print the OpenAPI document of the HTTP API in one dialect."

    def add_arguments(self, parser: CommandParser) -> None:
        names = [door.name for door in DOORS]
        parser.add_argument("--dialect", choices=names, default=names[0], help="Whose words (default: %(default)s).")

    def handle(self, *args: Any, **options: Any) -> None:
        door = next(door for door in DOORS if door.name == options["dialect"])
        self.stdout.write(json.dumps(document(door), indent=1, sort_keys=True, ensure_ascii=False))
