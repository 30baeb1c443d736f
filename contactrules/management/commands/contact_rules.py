"""`manage.py contact_rules`: list, add, change and remove the rules of an identity."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Identity
from accounts.naming import identity_named, organization_named
from contactrules.models import ContactRule
from contactrules.rules import create_rule, delete_rule, update_rule
from core.actor import Actor
from core.errors import DomainError

_ACTOR = Actor.system("contact_rules")


class Command(BaseCommand):
    help = "List, add, change and remove the contact rules of an identity."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--organization", required=True, metavar="NAME_OR_ID")
        parser.add_argument("--identity", required=True, metavar="HANDLE")
        deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED", parser_class=ArgumentParser)
        deeds.add_parser("list", help="Show the rules, newest first.")
        add = deeds.add_parser("add", help="Add a rule for a number.")
        add.add_argument("action", choices=ContactRule.Action.values)
        add.add_argument("number")
        change = deeds.add_parser("change", help="Change the rules for a number.")
        change.add_argument("number")
        change.add_argument("--action", choices=ContactRule.Action.values)
        change.add_argument("--status", choices=ContactRule.Status.values)
        remove = deeds.add_parser("remove", help="Remove the rules for a number.")
        remove.add_argument("number")
        add.add_argument("--direction", choices=ContactRule.Direction.values, default=ContactRule.Direction.BOTH.value)
        for deed in (change, remove):
            deed.add_argument("--direction", choices=ContactRule.Direction.values, help="Only the rule that has this.")
        for deed in (add, change, remove):
            deed.add_argument("--reason", default="", help="Kept with the change.")
        for deed in deeds.choices.values():
            deed.add_argument("--json", action="store_true", help="Print JSON: a list of rules.")

    def handle(self, *args: Any, **options: Any) -> None:
        identity = identity_named(organization_named(options["organization"]), options["identity"])
        try:
            rules = _do(identity, options)
        except DomainError as refused:
            raise CommandError(refused.message) from refused
        shown = [_shown(rule) for rule in rules]
        if options["json"]:
            self.stdout.write(json.dumps(shown))
            return
        for rule in shown:
            self.stdout.write("{action:5}  {number:16}  {direction:8}  {status:6}  {id}".format(**rule))


def _do(identity: Identity, options: dict[str, Any]) -> list[ContactRule]:
    """The rules that are shown: all, or those that were added, changed or removed."""
    match options["deed"]:
        case "list":
            return list(ContactRule.objects.filter(identity=identity).order_by("-created_at", "-id"))
        case "add":
            rule = create_rule(
                _ACTOR,
                identity,
                action=options["action"],
                match_target=options["number"],
                direction=options["direction"],
                reason=options["reason"],
            )
            return [rule]
        case "change":
            changes = {name: options[name] for name in ("action", "status") if options[name]}
            if not changes:
                raise CommandError("Say what to change: --action, --status or both.")
            return [
                update_rule(_ACTOR, rule, changes=changes, reason=options["reason"])
                for rule in _rules_for(identity, options)
            ]
    rules = _rules_for(identity, options)
    for rule in rules:
        delete_rule(_ACTOR, rule, reason=options["reason"])
    return rules


def _rules_for(identity: Identity, options: dict[str, Any]) -> list[ContactRule]:
    rules = ContactRule.objects.filter(identity=identity, match_target=options["number"]).select_related("identity")
    if options["direction"]:
        rules = rules.filter(direction=options["direction"])
    if found := list(rules.order_by("id")):
        return found
    raise CommandError(f"@{identity.handle} has no such rule for {options['number']}.")


def _shown(rule: ContactRule) -> dict[str, str]:
    return {
        "id": str(rule.pk or ""),
        "action": rule.action,
        "number": rule.match_target,
        "direction": rule.direction,
        "status": rule.status,
        "created_at": rule.created_at.isoformat(),
    }
