"""`manage.py capabilities`: what each provider, or each line just now, can do."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lines.cards import card_of, plain, static_cards
from lines.models import Line
from lines.providers.base import Capabilities


class Command(BaseCommand):
    help = "Print the capability card of every provider; with --line, of those lines as they are now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--line", action="append", default=[], metavar="ADDRESS", help="Repeatable.")
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        cards = _cards_of(options["line"]) if options["line"] else static_cards()
        shown = {name: plain(card) for name, card in cards.items()}
        self.stdout.write(json.dumps(shown, indent=2) if options["json"] else "\n".join(_table(shown)))


def _cards_of(addresses: list[str]) -> dict[str, Capabilities]:
    found = {line.address: line for line in Line.objects.filter(address__in=addresses).select_related("account")}
    if missing := [address for address in addresses if address not in found]:
        raise CommandError(f"There is no line {missing[0]}.")
    return {address: card_of(found[address]) for address in addresses}


def _table(cards: dict[str, dict[str, object]]) -> list[str]:
    """One row per capability, one column per card."""
    rows = [["", *cards]]
    rows += [[name, *(_word(card[name]) for card in cards.values())] for name in next(iter(cards.values()))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return str(len(value)) if len(value) > 3 else ", ".join(map(str, value)) or "none"
    return str(value) if value != "" else "none"
