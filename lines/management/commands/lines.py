"""`manage.py lines`: the lines there are, and what an operator does with them, after a forecast."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.actor import Actor
from core.errors import DomainError
from lines import moving, operating, routers
from lines.models import Line

_ACTOR = Actor.system("lines command")


class Command(BaseCommand):
    help = "List the lines, or pause, resume, drain, move, probe, quarantine, clear or retire one; rotate the router."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("deed", nargs="?", default="list", choices=["list", *_DEEDS], help="What to do.")
        parser.add_argument("line", nargs="?", metavar="ADDRESS", help="With which line.")
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--reason", default="", help="Why; the audit trail keeps it.")
        parser.add_argument(
            "--to", action="append", default=[], metavar="ADDRESS", help="move, rotate-router: to these."
        )
        parser.add_argument("--human", action="append", default=[], metavar="NUMBER", help="move: only these humans.")
        parser.add_argument("--move", action="store_true", help="drain: also move its humans to other lines.")
        parser.add_argument("--confirm", type=int, metavar="COUNT", help="move: how many humans the forecast named.")
        parser.add_argument("--anyway", action="store_true", help="clear, rotate-router: the second confirmation.")
        parser.add_argument("--yes", action="store_true", help="Do it; without it the forecast is shown.")
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            result = _list() if options["deed"] == "list" else _DEEDS[options["deed"]](options)
        except DomainError as refused:
            raise CommandError(refused.message) from refused
        if options["json"]:
            self.stdout.write(json.dumps(result, ensure_ascii=False))
        elif isinstance(result, list):
            for row in result:
                self.stdout.write("{address:16} {kind:9} {service:8} {wanted:12} {seen:9} {account}".format(**row))
        else:
            self.stdout.write(result["words"])


Result = dict[str, Any]


def _list() -> list[Result]:
    rows = Line.objects.select_related("account").order_by("kind", "address")
    names = ("address", "kind", "service", "wanted", "seen", "allowance")
    return [{**{name: getattr(line, name) for name in names}, "account": line.account.name} for line in rows]


def _stop(deed: Callable[..., Line]) -> Callable[[dict[str, Any]], Result]:
    """A deed that stops texts: its forecast, and with --yes the deed."""

    def do(options: dict[str, Any]) -> Result:
        line = _line(options)
        forecast = operating.forecast(line)
        if not options["yes"]:
            return {"done": False, "words": f"{forecast.words} Repeat with --yes to do it.", **_counts(forecast)}
        line = deed(_ACTOR, line, reason=options["reason"])
        return {"done": True, "words": f"{line} is {line.wanted}. {forecast.words}", **_counts(forecast)}

    return do


def _counts(forecast: operating.Forecast) -> Result:
    return {"connected": forecast.connected, "talking": forecast.talking, "queued": forecast.queued}


def _resume(options: dict[str, Any]) -> Result:
    line = operating.resume(_ACTOR, _line(options), reason=options["reason"])
    slowly = " It starts slowly." if line.ramp_since else ""
    return {"done": True, "words": f"{line} is in service.{slowly}"}


def _drain(options: dict[str, Any]) -> Result:
    if not options["move"]:
        return _stop(operating.drain)(options)
    line = _line(options)
    if not options["yes"]:
        return _moved(moving.forecast_move(line, to=_targets(options)), done=False)
    _confirmed(options, moving.forecast_move(line, to=_targets(options)))
    operating.drain(_ACTOR, line, reason=options["reason"])
    return _move(options)


def _move(options: dict[str, Any]) -> Result:
    line, to, humans = _line(options), _targets(options), options["human"] or None
    forecast = moving.forecast_move(line, to=to, humans=humans)
    if not options["yes"]:
        return _moved(forecast, done=False)
    if options["confirm"] is None:
        raise CommandError(f"Type the count: --confirm {forecast.humans}.")
    move = moving.start_move(_ACTOR, line, to=to, humans=humans, reason=options["reason"], confirmed=options["confirm"])
    return {**_moved(forecast, done=True), "move_id": str(move.id)}


def _confirmed(options: dict[str, Any], forecast: moving.Forecast) -> int:
    """The count that was typed, against moving hundreds by mistake."""
    if options["confirm"] != forecast.humans:
        raise CommandError(f"Type the count: --confirm {forecast.humans}.")
    return int(options["confirm"])


def _moved(forecast: moving.Forecast, *, done: bool) -> Result:
    where = ", ".join(f"{count} to {line}" for line, count in forecast.lines) or "nobody finds a line"
    left = f"; for {forecast.unplaced} there is no line" if forecast.unplaced else ""
    until = f", done by {forecast.until:%Y-%m-%d %H:%M} UTC" if forecast.until else ""
    again = "" if done else f" Repeat with --yes --confirm {forecast.humans} to do it."
    return {
        "done": done,
        "words": f"{forecast.humans} humans move: {where}{left}{until}.{again}",
        "humans": forecast.humans,
        "unplaced": forecast.unplaced,
        "until": forecast.until.isoformat() if forecast.until else None,
    }


def _probe(options: dict[str, Any]) -> Result:
    reading = operating.probe_now(_ACTOR, _line(options))
    words = f"{reading.state}: {', '.join(reading.reasons) or 'answers'}"
    return {"done": True, "words": words, "state": reading.state, "reasons": reading.reasons, "raw": reading.raw}


def _clear(options: dict[str, Any]) -> Result:
    line = operating.clear(_ACTOR, _line(options), reason=options["reason"], though_early=options["anyway"])
    return {"done": True, "words": f"{line} is cleared. It starts slowly and is watched."}


def _rotate_router(options: dict[str, Any]) -> Result:
    to = _named(options["to"][0]) if options["to"] else None
    forecast = routers.forecast_rotation(to=to)
    if not options["yes"]:
        words = f"{forecast.now} would give way to {forecast.to}. {forecast.problem}".rstrip()
        return {"done": False, "words": f"{words} Repeat with --yes to do it.", "problem": forecast.problem}
    line = routers.rotate_router(_ACTOR, to=to, reason=options["reason"], though_unproved=options["anyway"])
    return {"done": True, "words": f"{line} is the router now; the former one names it until people have changed."}


_DEEDS: dict[str, Callable[[dict[str, Any]], Result]] = {
    "probe": _probe,
    "pause": _stop(operating.pause),
    "resume": _resume,
    "drain": _drain,
    "move": _move,
    "quarantine": _stop(operating.quarantine),
    "clear": _clear,
    "retire": _stop(operating.retire),
    "rotate-router": _rotate_router,
}


def _line(options: dict[str, Any]) -> Line:
    if not options["line"]:
        raise CommandError(f"Name the line: lines {options['deed']} +15555550101.")
    return _named(options["line"])


def _named(address: str) -> Line:
    line = Line.objects.select_related("account").filter(address=address).first()
    if line is None:
        raise CommandError(f"There is no line {address}.")
    return line


def _targets(options: dict[str, Any]) -> list[Any]:
    return [_named(address).id for address in options["to"]]
