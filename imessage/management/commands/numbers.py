"""`manage.py numbers`: an organization's own numbers, from the free ones to the ones that were given back."""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.naming import identity_named, organization_named
from core.actor import Actor
from core.errors import DomainError
from imessage import owning
from lines.claiming import claim_line, free_lines, offer_again
from lines.models import Line
from lines.pool import owner_of

_ACTOR = Actor.system("numbers command")

Options = dict[str, Any]
Result = dict[str, Any]


class Command(BaseCommand):
    help = "List the numbers that organizations own, or claim, attach, detach, release or offer one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("deed", nargs="?", default="list", choices=["list", "free", *_DEEDS], help="What to do.")
        parser.add_argument("number", nargs="?", metavar="NUMBER", help="With which number; claim: left out, any.")
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--organization", metavar="NAME_OR_ID", help="list, claim, attach: whose.")
        parser.add_argument("--identity", metavar="HANDLE", help="claim, attach: which agent is to speak on it.")
        parser.add_argument("--service", choices=Line.Service.values, help="free, claim: what it carries.")
        parser.add_argument("--area-code", default="", metavar="DIGITS", help="free, claim: where it is.")
        parser.add_argument("--country", default="", metavar="CODE", help="free, claim: in which country, ISO 3166.")
        parser.add_argument("--reason", default="", help="offer: why; the audit trail keeps it.")
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lines = _found(options) if options["deed"] in {"list", "free"} else [_DEEDS[options["deed"]](options)]
        except DomainError as refused:
            raise CommandError(refused.message) from refused
        rows = [_shown(line) for line in lines]
        if options["json"]:
            self.stdout.write(json.dumps(rows, ensure_ascii=False))
            return
        for row in rows:
            self.stdout.write("{number:16} {service:8} {organization:20} {agent}".format(**row))


def _found(options: Options) -> Iterable[Line]:
    if options["deed"] == "free":
        return free_lines(**_wish(options))
    owned = Line.objects.ever_of(_ACTOR).order_by("created_at", "id")
    if options["organization"]:
        owned = owned.filter(organization=organization_named(options["organization"]))
    return owned


def _claim(options: Options) -> Line:
    organization = organization_named(_needed(options, "organization"))
    line = claim_line(_ACTOR, organization=organization, **_wish(options))
    if options["identity"]:
        owning.attach(_ACTOR, line, identity_named(organization, options["identity"]))
    return line


def _attach(options: Options) -> Line:
    organization = organization_named(_needed(options, "organization"))
    identity = identity_named(organization, _needed(options, "identity"))
    return owning.attach(_ACTOR, _number(options), identity)


_DEEDS: dict[str, Callable[[Options], Line]] = {
    "claim": _claim,
    "attach": _attach,
    "detach": lambda options: owning.detach(_ACTOR, _number(options)),
    "release": lambda options: owning.release(_ACTOR, _number(options)),
    "offer": lambda options: offer_again(_ACTOR, _number(options), reason=options["reason"]),
}


def _wish(options: Options) -> Any:
    asked = {"address": options["number"], **{name: options[name] for name in ("service", "area_code", "country")}}
    return {name: value for name, value in asked.items() if value}


def _needed(options: Options, name: str) -> str:
    if not options[name]:
        raise CommandError(f"Name the {name}: --{name}.")
    return str(options[name])


def _number(options: Options) -> Line:
    line = Line.objects.filter(address=options["number"] or "", kind=Line.Kind.DEDICATED).first()
    if line is None:
        raise CommandError(f"There is no dedicated number {options['number'] or ''}.".replace(" .", "."))
    return line


def _shown(line: Line) -> Result:
    identity = owner_of(line)
    owner = str(line.organization) if line.organization else "free"
    return {
        "number": line.address,
        "service": line.service,
        "organization": f"{owner} (released)" if line.released_at else owner,
        "agent": f"@{identity.handle}" if identity else "",
    }
