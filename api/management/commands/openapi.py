"""`manage.py openapi`: the API's document, as it is kept in docs/reference/openapi.json."""

import json
from typing import Any

from django.core.management.base import BaseCommand

from api.inkbox.document import document


class Command(BaseCommand):
    help = "Print the OpenAPI document of the HTTP API."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False))
