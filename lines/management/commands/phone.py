"""`manage.py phone`: be a human with a phone on the simulated phone network."""

import json
import mimetypes
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from textwrap import shorten
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.identities import normal_handle
from core.errors import DomainError
from core.phones import e164
from lines import simulation
from lines.effects import EFFECTS
from lines.models import ANY_HUMAN, Line, Route
from lines.providers.base import SIX_TAPBACKS

_INSTANT = 0.01
_THREAD = "An agent's @handle, a line's number, or the name or key of a group."


class Command(BaseCommand):
    help = "Drive a handset of the simulated phone network, e.g. phone +15555550123 text 'connect @echo'."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", help="The human's number, like +15555550123.")
        deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED", parser_class=ArgumentParser)
        text = deeds.add_parser("text", help="Write a text; to the router unless --to says otherwise.")
        text.add_argument("text")
        text.add_argument("--to", metavar="THREAD", help=_THREAD)
        text.add_argument(
            "--media",
            action="append",
            default=[],
            metavar="FILE",
            help="A file to send along, or a URL; more than one is a carousel.",
        )
        text.add_argument("--reply-to", metavar="BUBBLE", help="Answer a bubble: 'last' or its id.")
        text.add_argument("--part", type=int, default=0, help="Which of the bubble's parts is answered, from 0.")
        text.add_argument("--effect", choices=sorted(EFFECTS), help="Send it with an effect.")
        group = deeds.add_parser("group", help="Make a group, or with --to change one.")
        group.add_argument("text", nargs="?", help="The first text, or one more.")
        group.add_argument(
            "--with", dest="with_", type=_numbers, default=[], metavar="+N,+M", help="Who else is in it."
        )
        group.add_argument("--name", help="Its name; with --to a new one.")
        group.add_argument(
            "--line", metavar="+LINE", help="The line that is in it; the first dedicated one if left out."
        )
        group.add_argument("--to", metavar="GROUP", help="The name or key of a group to change.")
        group.add_argument("--add", type=_numbers, default=[], metavar="+N,+M", help="Who comes.")
        group.add_argument("--remove", type=_numbers, default=[], metavar="+N,+M", help="Who goes.")
        group.add_argument("--leave", action="store_true", help="Go yourself.")
        tapback = deeds.add_parser("tapback", help="React to a bubble.")
        tapback.add_argument("bubble", help="'last' (the newest received) or a bubble's id from the inbox.")
        tapback.add_argument("kind", help="love, like, dislike, laugh, emphasize, question, or any emoji.")
        tapback.add_argument("--remove", action="store_true")
        tapback.add_argument("--part", type=int, default=0, help="Which of the bubble's parts, from 0.")
        tapback.add_argument("--to", metavar="THREAD", help="Look for 'last' in this thread.")
        inbox = deeds.add_parser("inbox", help="Show the bubbles, oldest first.")
        inbox.add_argument("--to", metavar="THREAD", help="Only this thread.")
        read = deeds.add_parser("read", help="Read the threads, as opening them does.")
        read.add_argument("--to", metavar="THREAD", help="Only this thread.")
        typing = deeds.add_parser("typing", help="Begin to type, or with --stop end it.")
        typing.add_argument("--to", metavar="THREAD", required=True, help=_THREAD)
        typing.add_argument("--stop", action="store_true")
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
        thread = _thread_of(human, options["to"]) if options.get("to") else None
        match options["deed"]:
            case "text":
                return simulation.text(
                    human,
                    to=thread or _router(),
                    text=options["text"],
                    media=[_uploaded(medium) for medium in options["media"]],
                    reply_to=options["reply_to"],
                    part=options["part"],
                    effect=options["effect"],
                )
            case "group":
                return _group(human, thread, options)
            case "tapback":
                kind = options["kind"]
                return simulation.tapback(
                    human,
                    bubble=options["bubble"],
                    kind=kind if kind in SIX_TAPBACKS else "emoji",
                    emoji=None if kind in SIX_TAPBACKS else kind,
                    part=options["part"],
                    remove=options["remove"],
                    with_=thread,
                )
            case "read":
                return simulation.read(human, with_=thread)
            case "typing":
                return simulation.typing(human, with_=thread or "", on=not options["stop"])
            case "service":
                return simulation.set_service(human, service=options["service"])
        background = simulation.background(human, with_=thread) if thread else None
        return {"bubbles": simulation.inbox(human, with_=thread), "background": background}

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
        if done.get("background"):
            self.stdout.write(f"behind this thread: {_medium(done['background'])}")
        for bubble in done.get("bubbles", []):
            self.stdout.write(_bubble_line(bubble))
        if "bubbles" not in done:
            self.stdout.write(_group_line(done["group"]) if "members" in (done.get("group") or {}) else "done")
        for event in received or []:
            self.stdout.write(_event_line(event))
        if received == []:
            self.stdout.write("nothing received")


def _numbers(text: str) -> list[str]:
    try:
        return [e164(number.strip()) for number in text.split(",")]
    except DomainError as wrong:
        raise ArgumentTypeError(wrong.message) from wrong


def _group(human: str, key: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Make a group or change the one named, then say something in it if there are words."""
    if key is None:
        line, name = options["line"] or _dedicated(), options["name"] or ""
        group = simulation.open_group(human, line=line, members=options["with_"], name=name)
    else:
        gone = options["remove"] + [human] * options["leave"]
        group = simulation.change_group(
            human, key, add=options["add"] + options["with_"], remove=gone, name=options["name"]
        )
    if options["text"]:
        return simulation.text(human, to=group["key"], text=options["text"])
    return {"group": group}


def _thread_of(human: str, to: str) -> str:
    """What the phone keys a thread by: a line's number or a group's key; given as that, by a handle or by a name."""
    if to.startswith(("+", "grp_")):
        return to
    if to.startswith("@"):
        return _line_of(human, to)
    named = [group["key"] for group in simulation.groups(human) if group["name"] == to]
    return str(named[-1]) if named else _line_of(human, to)


def _line_of(human: str, to: str) -> str:
    """The line that carries this human's talk with the agent, else the agent's own number."""
    handle = normal_handle(to)
    theirs = Route.objects.live().filter(identity__handle=handle, human__in=[human, ANY_HUMAN]).select_related("line")
    # "+" sorts behind "*": the human's own pair first.
    route = theirs.order_by("-human", "created_at").first()
    if route is None:
        raise CommandError(f"{human} is not connected to @{handle}; first: phone {human} text 'connect @{handle}'")
    return route.line.address


def _dedicated() -> str:
    line = Line.objects.in_service().filter(kind=Line.Kind.DEDICATED, service=Line.Service.IMESSAGE)
    first = line.exclude(organization=None).order_by("created_at").first()
    if first is None:
        raise CommandError("There is no dedicated line to be in a group; 'manage.py quickstart' makes one.")
    return first.address


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
    marks = "".join(f" [{_by(tapback, bubble)}{_sign(tapback)}]" for tapback in bubble["tapbacks"])
    media = "".join(f" <{_medium(item)}>" for item in bubble["media"])
    effect = f" ({bubble['effect']})" if bubble["effect"] else ""
    to = (bubble["group"]["name"] or bubble["to"]) if bubble["group"] else bubble["to"]
    quoted = f"  ↩ {_quoted(bubble['quoted'])} |" if bubble["quoted"] else ""
    sms = f" {'MMS' if bubble['media'] else 'SMS'}" if bubble["service"] == "sms" else ""
    where = f"{bubble['at'][11:19]}  {bubble['from']} → {to}{sms}"
    return f"{where}{quoted}  {bubble['text'] or ''}{effect}{media}{marks}"


def _by(tapback: dict[str, Any], bubble: dict[str, Any]) -> str:
    return f"{tapback['from']} " if bubble["group"] else ""


def _sign(tapback: dict[str, Any]) -> str:
    return str(tapback.get("emoji") or tapback["kind"])


def _quoted(quoted: dict[str, Any]) -> str:
    """What a reply answers, in few words."""
    words = quoted["text"] or ("an attachment" if quoted["media"] else "")
    return f"{quoted['from']}: {shorten(words, 40, placeholder='…')}"


def _group_line(group: dict[str, Any]) -> str:
    return f"{group['key']}  {group['name'] or 'no name'}: {', '.join(group['members'])} and {group['line']}"


def _medium(item: dict[str, Any]) -> str:
    """Where it is and, once the phone has it, what it is."""
    where = item.get("url") or item["id"]
    if "sha256" not in item:
        return str(where)
    return f"{where} {item['content_type']}, {item['size']:,} bytes, sha256 {item['sha256'][:12]}"


def _event_line(event: dict[str, Any]) -> str:
    if event["type"] == "bubble":
        return _bubble_line(event["bubble"])
    who = event.get("from") or event["with"]
    return f"{event['at'][11:19]}  {who} {_deed(event)}"


def _deed(event: dict[str, Any]) -> str:
    match event["type"]:
        case "tapback":
            return f"{'took back' if event['action'] == 'remove' else 'reacted'}: {_sign(event)}"
        case "typing":
            return "is typing …" if event["on"] else "stopped typing"
        case "read":
            return "read your text"
        case "background":
            return "put a picture behind the thread" if event["background"] else "took the picture away"
        case "group":
            return f"says who is in {event['name'] or event['with']}: {', '.join(event['members'])}"
    return json.dumps(event, ensure_ascii=False)
