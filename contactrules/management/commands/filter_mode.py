"""`manage.py filter_mode`: whether an identity takes everybody but some, or nobody but some."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Identity
from accounts.naming import identity_named, organization_named
from contactrules.models import ContactRule
from contactrules.rules import set_filter_mode
from core.actor import Actor
from core.errors import DomainError


class Command(BaseCommand):
    help = "Show an identity's filter mode, or set it: blacklist (all but blocked numbers) or whitelist (only allowed)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("mode", nargs="?", choices=Identity.FilterMode.values, help="Left out: only show it.")
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--organization", required=True, metavar="NAME_OR_ID")
        parser.add_argument("--identity", required=True, metavar="HANDLE")
        parser.add_argument(
            "--direction",
            choices=ContactRule.Direction.values,
            default=ContactRule.Direction.BOTH.value,
            help="What humans send, what the agent sends, or both (the default).",
        )
        parser.add_argument("--reason", default="", help="Kept with the change.")
        parser.add_argument("--json", action="store_true", help="Print JSON: handle, inbound, outbound and revision.")

    def handle(self, *args: Any, **options: Any) -> None:
        identity = identity_named(organization_named(options["organization"]), options["identity"])
        if options["mode"]:
            identity = _set(identity, options)
        shown = {
            "handle": identity.handle,
            "inbound": identity.imessage_filter_mode,
            "outbound": identity.outbound_filter_mode,
            "revision": identity.reach_revision,
        }
        line = "@{handle}: {inbound} inbound, {outbound} outbound (revision {revision})"
        self.stdout.write(json.dumps(shown) if options["json"] else line.format(**shown))


def _set(identity: Identity, options: dict[str, Any]) -> Identity:
    try:
        return set_filter_mode(
            Actor.system("filter_mode"),
            identity,
            mode=options["mode"],
            direction=options["direction"],
            reason=options["reason"],
        )
    except DomainError as refused:
        raise CommandError(refused.message) from refused
