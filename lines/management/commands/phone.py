"""`manage.py phone`: be a human with a phone on the simulated phone network."""

import json
import mimetypes
from argparse import ArgumentParser
from pathlib import Path
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.identities import normal_handle
from core.errors import DomainError
from core.phones import e164
from lines import simulation
from lines.models import Line, Route
from lines.providers.base import SIX_TAPBACKS

_INSTANT = 0.01


class Command(BaseCommand):
    help = "Drive a handset of the simulated phone network, e.g. phone +15555550123 text 'connect @echo'."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", help="The human's number, like +15555550123.")
        deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED", parser_class=ArgumentParser)
        text = deeds.add_parser("text", help="Write a text; to the router unless --to says otherwise.")
        text.add_argument("text")
        text.add_argument("--to", help="An agent's @handle (its line), or a line's number.")
        text.add_argument(
            "--media", action="append", default=[], metavar="FILE", help="A file to send along, or a URL."
        )
        tapback = deeds.add_parser("tapback", help="React to a bubble.")
        tapback.add_argument("bubble", help="'last' (the newest received) or a bubble's id from the inbox.")
        tapback.add_argument("kind", help="love, like, dislike, laugh, emphasize, question, or any emoji.")
        tapback.add_argument("--remove", action="store_true")
        tapback.add_argument("--to", help="Look for 'last' in the thread with this @handle or line.")
        inbox = deeds.add_parser("inbox", help="Show the bubbles, oldest first.")
        inbox.add_argument("--to", help="Only the thread with this @handle or line.")
        read = deeds.add_parser("read", help="Read the threads, as opening them does.")
        read.add_argument("--to", help="Only the thread with this @handle or line.")
        service = deeds.add_parser("service", help="What the handset has.")
        service.add_argument("service", choices=["imessage", "sms", "off"])
        for deed in deeds.choices.values():
            deed.add_argument("--json", action="store_true", help="Print JSON.")
            deed.add_argument(
                "--wait",
                type=float,
                default=0,
                metavar="SECONDS",
                help="Then wait so long and print what the handset received meanwhile.",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            human = e164(options["number"])
            cursor = simulation.wait(human, after=None, seconds=0)["next"] if options["wait"] else None
            done = self._do(human, options)
            received = self._collect(human, cursor, options["wait"]) if cursor is not None else None
        except DomainError as refused:
            raise CommandError(refused.message) from refused
        self._print(done, received, as_json=options["json"])

    def _do(self, human: str, options: dict[str, Any]) -> dict[str, Any]:
        line = _line_of(human, options["to"]) if options.get("to") else None
        match options["deed"]:
            case "text":
                media = [_uploaded(medium) for medium in options["media"]]
                return simulation.text(human, to=line or _router(), text=options["text"], media=media)
            case "tapback":
                kind = options["kind"]
                return simulation.tapback(
                    human,
                    bubble=options["bubble"],
                    kind=kind if kind in SIX_TAPBACKS else "emoji",
                    emoji=None if kind in SIX_TAPBACKS else kind,
                    remove=options["remove"],
                    with_=line,
                )
            case "read":
                return simulation.read(human, with_=line)
            case "service":
                return simulation.set_service(human, service=options["service"])
        return {"bubbles": simulation.inbox(human, with_=line)}

    def _collect(self, human: str, cursor: int, seconds: float) -> list[dict[str, Any]]:
        """Everything that reached the handset in the time given."""
        received: list[dict[str, Any]] = []
        ends = monotonic() + seconds
        while (left := ends - monotonic()) > _INSTANT:
            news = simulation.wait(human, after=cursor, seconds=round(left, 3))
            received += news["events"]
            cursor = news["next"]
        return received

    def _print(self, done: dict[str, Any], received: list[dict[str, Any]] | None, *, as_json: bool) -> None:
        if as_json:
            answer = done if received is None else {**done, "received": received}
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
            return
        for bubble in done.get("bubbles", []):
            self.stdout.write(_bubble_line(bubble))
        if "bubbles" not in done:
            self.stdout.write("done")
        for event in received or []:
            self.stdout.write(_event_line(event))
        if received == []:
            self.stdout.write("nothing received")


def _line_of(human: str, to: str) -> str:
    """The number to write to: a line's own, or the line that carries this human's talk with the agent."""
    if to.startswith("+"):
        return to
    handle = normal_handle(to)
    route = Route.objects.live().filter(human=human, identity__handle=handle).select_related("line").first()
    if route is None:
        raise CommandError(f"{human} is not connected to @{handle}; first: phone {human} text 'connect @{handle}'")
    return route.line.address


def _uploaded(medium: str) -> str:
    """The URL of a medium: of a file, where the network keeps it now."""
    if medium.startswith(("http://", "https://")):
        return medium
    try:
        content = Path(medium).read_bytes()
    except OSError as missing:
        raise CommandError(f"{medium} cannot be read: {missing.strerror}.") from missing
    guessed = mimetypes.guess_type(medium)[0]
    return simulation.add_file(content, content_type=guessed or "application/octet-stream")


def _router() -> str:
    line = Line.objects.routers().order_by("created_at").first()
    if line is None:
        raise CommandError("There is no router line; 'manage.py quickstart' makes one.")
    return line.address


def _bubble_line(bubble: dict[str, Any]) -> str:
    marks = "".join(f" [{tapback.get('emoji') or tapback['kind']}]" for tapback in bubble["tapbacks"])
    media = "".join(f" <{_medium(item)}>" for item in bubble["media"])
    return f"{bubble['at'][11:19]}  {bubble['from']} → {bubble['to']}  {bubble['text'] or ''}{media}{marks}"


def _medium(item: dict[str, Any]) -> str:
    """Where it is and, once the phone has it, what it is."""
    if "sha256" not in item:
        return str(item["url"])
    return f"{item['url']} {item['content_type']}, {item['size']:,} bytes, sha256 {item['sha256'][:12]}"


def _event_line(event: dict[str, Any]) -> str:
    match event["type"]:
        case "bubble":
            return _bubble_line(event["bubble"])
        case "tapback":
            done = "took back" if event["action"] == "remove" else "reacted"
            return f"{event['at'][11:19]}  {event['with']} {done}: {event['emoji'] or event['kind']}"
        case "typing":
            return f"{event['at'][11:19]}  {event['with']} {'is typing …' if event['on'] else 'stopped typing'}"
        case "read":
            return f"{event['at'][11:19]}  {event['with']} read your text"
    return json.dumps(event, ensure_ascii=False)
