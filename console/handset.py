"""What a phone of the simulated network shows: its threads with lines and groups, and the one that is opened."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from accounts.models import Identity
from console.thread.words import GLYPHS
from core.actor import Actor
from core.phones import pretty
from imessage.connecting import connect_command
from imessage.models import Conversation
from lines import simulation
from lines.effects import EFFECTS
from lines.models import ANY_HUMAN, Line, Route

# As many bubbles as a screen scrolls through, and as many agents and numbers as a newcomer chooses from.
BUBBLES = 60
AGENTS = 8


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of the phone. `key` is a line's number or a group's key; `line` is the line in it."""

    key: str
    line: str
    name: str
    about: str
    service: str = Line.Service.IMESSAGE
    members: list[str] = field(default_factory=list)
    last: dict[str, Any] | None = None
    unread: int = 0
    has_name: bool = True

    @property
    def is_group(self) -> bool:
        return self.key != self.line


@dataclass(frozen=True, slots=True)
class _End:
    """Who stands behind a line for this human."""

    name: str
    about: str
    service: str = Line.Service.IMESSAGE

    @property
    def title(self) -> str:
        """What the thread with it is called: an agent may be reached over several lines."""
        return f"{self.name}'s {_NUMBERS[self.about]}" if self.about in _NUMBERS else self.name


def screen(actor: Actor, number: str, *, opened: str, answered: str, typing: str, cursor: str) -> dict[str, Any]:
    """The phone as it is now, with the thread `opened` if there is one, and a reply to the bubble `answered` begun.

    `typing` (who) and `cursor` are what the last look ended with.
    """
    phone: dict[str, Any] = next((one for one in simulation.handsets() if one["number"] == number), {})
    ends = _ends(number, phone.get("threads", []))
    threads = _threads(number, ends, phone.get("groups", []))
    shown = next((thread for thread in threads if thread.key == opened), threads[0] if threads else None)
    inbox = simulation.inbox(number, with_=shown.key)[-BUBBLES:] if shown else []
    names = {number: "You"} | {line: end.name for line, end in ends.items()}
    bubbles = [_drawn(bubble, number, names) for bubble in inbox]
    who, reached = _typing(number, shown.key if shown else "", typing=typing, cursor=cursor)
    conversation = _conversation(actor, number, shown) if shown else None
    return {
        "number": number,
        "service": phone.get("service", "imessage"),
        "threads": threads,
        "opened": shown,
        "bubbles": bubbles,
        "has_unread": any(bubble["direction"] == "received" and not bubble["read_at"] for bubble in inbox),
        "answered": next((bubble for bubble in bubbles if bubble["id"] == answered), None),
        "typing": who,
        "typing_name": names.get(who) or pretty(who),
        "cursor": reached,
        "glyphs": list(GLYPHS.items()),
        "effects": sorted(EFFECTS),
        "background": simulation.background(number, with_=shown.key) if shown and not shown.is_group else None,
        "commands": _commands(actor) if shown and ends.get(shown.key) is _ROUTER else [],
        "group_lines": [(line, end.name) for line, end in ends.items() if end.about == _OWN],
        "thread_in_console": conversation,
    }


_ROUTER = _End("Router", "Where agents are asked for")
_OWN, _OWN_SMS = "An agent's own number", "An agent's own number, SMS alone"
_NUMBERS = {_OWN: "number", _OWN_SMS: "SMS number"}


def _ends(number: str, used: Iterable[str]) -> dict[str, _End]:
    """The routers first, then lines that the phone is connected over, agents' own numbers, and lines written to."""
    live = Route.objects.live().select_related("line", "identity").order_by("created_at")
    ends = {line.address: _ROUTER for line in Line.objects.routers().order_by("created_at")}
    for route in live.filter(human=number):
        ends[route.line.address] = _End(_handle(route), route.identity.display_name, route.line.service)
    for route in live.filter(human=ANY_HUMAN)[:AGENTS]:
        about = _OWN_SMS if route.line.service == Line.Service.SMS else _OWN
        ends[route.line.address] = _End(_handle(route), about, route.line.service)
    strange = [key for key in used if key.startswith("+") and key not in ends]
    return ends | {line: _End(pretty(line), "Nobody") for line in strange}


def _handle(route: Route) -> str:
    return f"@{route.identity.handle}"


def _threads(number: str, ends: dict[str, _End], groups: list[dict[str, Any]]) -> list[Thread]:
    bubbles = simulation.inbox(number)
    # Of groups that the human has left, what was said tells the rest.
    left = {bubble["group"]["key"]: bubble["group"] for bubble in bubbles if bubble["group"]}
    all_groups = left | {group["key"]: group for group in groups}
    threads = [_thread(bubbles, line, line, end.title, end.about, service=end.service) for line, end in ends.items()]
    for key, group in all_groups.items():
        others = [member for member in group["members"] if member != number]
        name = group["name"] or ", ".join(pretty(member) for member in others)
        end = ends.get(group["line"])
        about = f"A group with {end.name if end else pretty(group['line'])}"
        threads.append(
            _thread(bubbles, key, group["line"], name, about, members=group["members"], has_name=bool(group["name"]))
        )
    return threads


def _thread(bubbles: list[dict[str, Any]], key: str, line: str, name: str, about: str, **more: Any) -> Thread:
    mine = [bubble for bubble in bubbles if key == (bubble["group"]["key"] if bubble["group"] else _line_of(bubble))]
    unread = sum(1 for bubble in mine if bubble["direction"] == "received" and not bubble["read_at"])
    return Thread(key, line, name, about, last=mine[-1] if mine else None, unread=unread, **more)


def _line_of(bubble: dict[str, Any]) -> str:
    return str(bubble["to"] if bubble["direction"] == "sent" else bubble["from"])


def _drawn(bubble: dict[str, Any], number: str, names: dict[str, str]) -> dict[str, Any]:
    """The bubble with its sender's and its parent's names, each tapback's sign, and this human's own tapback."""
    signs = [{**tap, "glyph": tap["emoji"] or GLYPHS.get(tap["kind"], "•")} for tap in bubble["tapbacks"]]
    quoted = bubble["quoted"]
    return {
        **bubble,
        "who": names.get(bubble["from"]) or pretty(bubble["from"]),
        "quoted": quoted and {**quoted, "who": names.get(quoted["from"]) or pretty(quoted["from"])},
        "tapbacks": signs,
        "mine": next((tap["kind"] for tap in signs if tap["from"] == number), ""),
    }


def _typing(number: str, thread: str, *, typing: str, cursor: str) -> tuple[str, int]:
    """Who types at the other end, and the network's cursor; both travel in the address of the next look."""
    news = simulation.wait(number, after=int(cursor) if cursor.isdecimal() else None, seconds=0)
    for event in news["events"]:
        if event.get("with") == thread and event["type"] in {"typing", "bubble"}:
            typing = event["from"] if event["type"] == "typing" and event["on"] else ""
    return typing, news["next"]


def _conversation(actor: Actor, number: str, thread: Thread) -> Conversation | None:
    """What the console shows of the thread."""
    visible = Conversation.objects.visible_to(actor).order_by("-last_at")
    if thread.is_group:
        return visible.filter(is_group=True, thread_key=thread.key).first()
    owned = visible.filter(owned_line__address=thread.line, human=number).first()
    route = Route.objects.live().filter(human=number, line__address=thread.line).first()
    if owned or route is None:
        return owned
    return visible.filter(identity_id=route.identity_id, human=number, owned_line=None).first()


def _commands(actor: Actor) -> list[str]:
    """What a newcomer may text to the router."""
    agents = Identity.objects.visible_to(actor).live().filter(imessage_enabled=True).order_by("created_at")[:AGENTS]
    return [connect_command(agent) for agent in agents]
