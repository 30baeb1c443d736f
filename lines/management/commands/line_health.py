"""`manage.py line_health`: how every line is, why, and how old that is; with an exit code for monitoring."""

import json
import sys
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.actor import Actor
from lines.health import showing
from lines.health.showing import LineRow
from lines.health.states import Shown
from lines.models import Alert, Line

_ACTOR = Actor.system("line_health command")

# As monitoring plugins have it: 0 fine, 1 look at it, 2 now.
_CODES = {Shown.QUARANTINED: 2, Shown.DOWN: 2, Shown.UNKNOWN: 1, Shown.DEGRADED: 1}


class Command(BaseCommand):
    help = "Show how every line is, the one at most risk first. Exit code 0: fine, 1: look at it, 2: act now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--line", metavar="ADDRESS", help="Only this line, with all its numbers.")
        parser.add_argument("--json", action="store_true", help="Print JSON: `lines` and `alerts`.")

    def handle(self, *args: Any, **options: Any) -> None:
        lines = Line.objects.filter(address=options["line"]) if options["line"] else None
        rows = showing.pool(_ACTOR, lines=lines)
        if options["line"] and not rows:
            raise CommandError(f"There is no line {options['line']}.")
        alerts = showing.open_alerts(_ACTOR)
        if options["json"]:
            shown = {"lines": [_shape(row) for row in rows], "alerts": [_alert(alert) for alert in alerts]}
            self.stdout.write(json.dumps(shown, ensure_ascii=False))
        else:
            self._print(rows, alerts, whole=bool(options["line"]))
        if code := max([_CODES.get(row.word, 0) for row in rows], default=0):
            sys.exit(code)

    def _print(self, rows: list[LineRow], alerts: list[Alert], *, whole: bool) -> None:
        now = timezone.now()
        for row in rows:
            because = "; ".join(reason.words for reason in row.reasons) or row.permits
            proof = f"proof {_age(row.proof_at, now)}"
            self.stdout.write(f"{row.line.address:16} {row.line.kind:9} {row.word:12} {proof:14} {because}")
            if whole:
                for number in row.numbers.values():
                    detail = f" ({number.detail})" if number.detail else ""
                    self.stdout.write(f"  {number.label:32} {number.text}{detail}, {number.level}")
        for alert in alerts:
            self.stdout.write(f"ALERT since {alert.opened_at:%Y-%m-%d %H:%M} UTC: {alert.words}")
        if not rows:
            self.stdout.write("There are no lines.")


def _shape(row: LineRow) -> dict[str, Any]:
    return {
        "id": str(row.line.id),
        "address": row.line.address,
        "kind": row.line.kind,
        "account": row.line.account.name,
        "state": row.word.value,
        "wanted": row.line.wanted,
        "seen": row.line.seen,
        "allowance": row.line.allowance,
        "since": row.since.isoformat(),
        "reasons": [{"code": reason.code, "words": reason.words} for reason in row.reasons],
        "proof_of_life_at": row.proof_at.isoformat() if row.proof_at else None,
        "connections": row.connections,
        "queue": row.queue_depth,
        "trend": row.trend.word,
        "incident_id": str(row.incident.id) if row.incident else None,
        "numbers": {
            number.name: {
                "value": number.value,
                "level": number.level.value,
                "sample": number.sample,
                "at": number.measured_at.isoformat(),
            }
            for number in row.numbers.values()
        },
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "id": str(alert.id),
        "line_id": str(alert.line_id) if alert.line_id else None,
        "cause": alert.cause,
        "words": alert.words,
        "opened_at": alert.opened_at.isoformat(),
    }


def _age(moment: datetime | None, now: datetime) -> str:
    return showing.duration((now - moment).total_seconds()) if moment else "never"
