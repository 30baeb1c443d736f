"""What operators do with a line, each deed with what is to be expected of it: contract/lines.md 7.5."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from console.endpoints import NO_HOLD
from console.entry import PageRequest, page, tell, toast, toasts
from console.friction import Confirmation, Confirmed, Fact, ask_again, confirm, leave_for
from console.times import times_of
from console.views.lines import LINES, incident_by, incident_url, line_of, url_of
from core.actor import Actor
from core.errors import DomainError, NotFound
from core.phones import pretty
from lines import moving, operating, routers
from lines.health import alerts, incidents, showing
from lines.models import Alert, Line, Move
from lines.pacing import limits_of
from lines.providers import driver_of

# So many of the lines that a move leads to are named.
_MOST_LINES = 8
_MUTES = {"1": "an hour", "4": "4 hours", "24": "a day", "168": "a week"}
_CAPS = {
    "capacity": "Humans with traffic in a day",
    "most_connections": "Connections in all",
    "new_per_hour": "New contacts an hour",
    "new_per_day": "New contacts a day",
    "new_gap": "Seconds between two new contacts",
    "line_per_second": "Texts a second",
    "human_per_minute": "Texts a minute to one human",
    "unanswered": "Texts in a row without an answer",
    "hold_seconds": "Seconds a text may wait",
}


# --- Wishes


@dataclass(frozen=True, slots=True)
class Wish:
    """A deed that stops a line, or lets it go on: what is asked before, and what is said after."""

    deed: Callable[..., Line]
    action: str
    sentence: str
    done: str
    undoable: str
    grade: int = 3
    is_typed: bool = False


WISHES: Mapping[str, Wish] = {
    "pause": Wish(
        operating.pause,
        "Pause",
        "What humans write still arrives; answers are held, and given up after the hold limit.",
        "is paused.",
        "Resume lets what waits leave.",
    ),
    "resume": Wish(
        operating.resume,
        "Resume",
        "It carries texts again, slowly at first after a long pause.",
        "is in service.",
        "It can be paused again at any time.",
    ),
    "quarantine": Wish(
        operating.quarantine,
        "Quarantine",
        "Nothing leaves it until somebody clears it; what humans write still arrives.",
        "is in quarantine.",
        "It can be cleared, in the first 24 hours with a second confirmation.",
    ),
    "retire": Wish(
        operating.retire,
        "Retire",
        "It goes out of service for good; its pairs stay reserved for 30 days.",
        "is retired.",
        "It does not come back; the number can be added anew under another account.",
        grade=4,
        is_typed=True,
    ),
}


@page
@require_http_methods(["GET", "POST"])
def wish(request: PageRequest, actor: Actor, pk: UUID, deed: str) -> HttpResponse:
    """Pause, resume, quarantine or retire a line, after a look at whom it touches."""
    line, wished = line_of(actor, pk), WISHES[deed]
    asked = _asked_to(line, wished)
    answer = confirm(request, actor, asked)
    if not isinstance(answer, Confirmed):
        return answer
    return _do(
        request,
        actor,
        asked,
        lambda: wished.deed(actor, line, reason=answer.reason),
        f"{pretty(line.address)} {wished.done}",
    )


def _asked_to(line: Line, wished: Wish) -> Confirmation:
    return Confirmation(
        title=f"{wished.action} {pretty(line.address)}",
        sentence=wished.sentence,
        action=wished.action,
        back=url_of(line.pk),
        grade=wished.grade,
        facts=_facts(line),
        undoable=wished.undoable,
        typed=line.address if wished.is_typed else "",
        typed_words="the number",
        needs_reason=True,
        hold=NO_HOLD,
    )


def _facts(line: Line) -> list[Fact]:
    forecast = operating.forecast(line)
    return [
        Fact("Connected over it", f"{forecast.connected:,}"),
        Fact("Talked in the last day", f"{forecast.talking:,}"),
        Fact("Texts that wait", f"{forecast.queued:,}"),
    ]


@page
@require_http_methods(["GET", "POST"])
def clear(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Take a line out of quarantine; in its first day only when that is meant twice."""
    line = line_of(actor, pk)
    early = line.seen == Line.Seen.FLAGGED and timezone.now() - line.seen_since < operating.FLAGGED_AT_LEAST
    rested = timezone.now() - line.seen_since
    asked = Confirmation(
        title=f"Clear {pretty(line.address)}",
        sentence="Texts leave it again: a quarter of its pace and no new humans on the first day, half on the second.",
        action="Clear",
        back=url_of(pk),
        facts=[Fact("Flagged for", f"{rested.total_seconds() / 3600:.0f} hours"), *_facts(line)],
        warning="A flag needs a day or more to go; a relapse costs the number." if early else "",
        undoable="It can be put into quarantine again at any time.",
        choices="console/lines/_anyway.html" if early else "",
        context={"anyway_words": "Clear it all the same, before its 24 hours are over"},
        needs_reason=True,
        hold=NO_HOLD,
    )
    answer = confirm(request, actor, asked)
    if not isinstance(answer, Confirmed):
        return answer
    anyway = bool(answer.data.get("anyway"))
    words = f"{pretty(line.address)} is cleared. It starts slowly and is watched."
    return _do(
        request, actor, asked, lambda: operating.clear(actor, line, reason=answer.reason, though_early=anyway), words
    )


# --- Draining and moving


@page
@require_http_methods(["GET", "POST"])
def drain(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """No new humans; and, if that is typed, those there move to other lines, as the forecast says."""
    line = line_of(actor, pk)
    forecast = moving.forecast_move(line) if line.kind == Line.Kind.POOL else None
    asked = _asked_to_drain(request, line, forecast)
    wants_move = request.POST.get("then") == "move" and forecast is not None
    answer = confirm(request, actor, asked, errors=_miscounted(request, forecast) if wants_move else None)
    if not isinstance(answer, Confirmed):
        return answer

    def deed() -> None:
        operating.drain(actor, line, reason=answer.reason)
        if wants_move and forecast:
            moving.start_move(actor, line, reason=answer.reason, confirmed=forecast.humans)

    words = f"{pretty(line.address)} is being drained."
    return _do(request, actor, asked, deed, f"{words} Its humans move." if wants_move else words)


def _asked_to_drain(request: PageRequest, line: Line, forecast: moving.Forecast | None) -> Confirmation:
    return Confirmation(
        title=f"Drain {pretty(line.address)}",
        sentence="It answers those it has and takes no new humans.",
        action="Drain",
        back=url_of(line.pk),
        facts=[*_facts(line), *(_of_move(request, forecast) if forecast else ())],
        undoable="Resume takes it back; humans who moved stay moved.",
        choices="console/lines/_drain.html" if forecast and forecast.placed else "",
        context={
            "forecast": forecast,
            "then": request.POST.get("then", "stay"),
            "count": request.POST.get("count", ""),
        },
        needs_reason=True,
        hold=NO_HOLD,
    )


def _of_move(request: PageRequest, forecast: moving.Forecast) -> list[Fact]:
    """Who would go where, until when, and for whom there is no line."""
    named = [Fact(f"To {pretty(line.address)}", f"{count:,}") for line, count in forecast.lines[:_MOST_LINES]]
    others = sum(count for _, count in forecast.lines[_MOST_LINES:])
    facts = [Fact("Would move", f"{forecast.placed:,} of {forecast.humans:,} humans"), *named]
    if others:
        facts.append(Fact("To other lines", f"{others:,}"))
    if forecast.unplaced:
        facts.append(Fact("No line has room for", f"{forecast.unplaced:,}"))
    if forecast.until:
        days = f", over {forecast.days} days" if forecast.days > 1 else ""
        facts.append(Fact("Done by", f"{times_of(request).exact(forecast.until)}{days}"))
    return facts


def _miscounted(request: PageRequest, forecast: moving.Forecast | None) -> dict[str, str]:
    humans = forecast.humans if forecast else 0
    if request.POST.get("count", "").strip() == str(humans):
        return {}
    return {"count": f"Type {humans}, the number of humans that move, so that it is meant."}


@page
@require_http_methods(["GET", "POST"])
def move(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Move a line's humans to any lines, or to one: a new thread and an opener for each."""
    line = line_of(actor, pk)
    to = _targets(request)
    forecast = moving.forecast_move(line, to=to)
    lines = Line.objects.taking_connections().exclude(pk=pk).order_by("address")
    asked = Confirmation(
        title=f"Move the humans of {pretty(line.address)}",
        sentence="Each gets a new thread from another number, begun by a text that says who writes.",
        action="Move them",
        back=url_of(pk),
        grade=3,
        facts=_of_move(request, forecast),
        warning="" if forecast.is_enough else "The lines have no room for all of them; the rest stay.",
        undoable="It can be cancelled; humans who moved stay moved.",
        typed=str(forecast.humans),
        needs_reason=True,
        choices="console/lines/_move.html",
        context={"targets": list(lines[:100]), "chosen": [str(each) for each in to]},
        hold=NO_HOLD,
    )
    answer = confirm(request, actor, asked)
    if not isinstance(answer, Confirmed):
        return answer

    def deed() -> Move:
        return moving.start_move(actor, line, to=to, reason=answer.reason, confirmed=forecast.humans)

    return _do(request, actor, asked, deed, f"{forecast.placed:,} humans move, one after the other.")


def _targets(request: PageRequest) -> Sequence[UUID]:
    asked = (request.POST if request.method == "POST" else request.GET).get("to", "")
    try:
        return [UUID(asked)] if asked else []
    except ValueError as odd:
        raise NotFound() from odd


@page
@require_POST
def steer_move(request: PageRequest, actor: Actor, pk: UUID, move_pk: UUID, deed: str) -> HttpResponse:
    """Cancel a move, or let a stopped one go on."""
    line = line_of(actor, pk)
    under_way = line.moves.filter(pk=move_pk).first()
    if under_way is None:
        raise NotFound()
    does = {"cancel": moving.cancel_move, "resume": moving.resume_move}[deed]
    words = {"cancel": "The move is cancelled; who moved stays moved.", "resume": "The move goes on."}[deed]
    return _at_once(request, line, lambda: does(actor, under_way), words)


# --- Looking and trying


@page
@require_POST
def probe(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Look at the line now."""
    line = line_of(actor, pk)

    def deed() -> str:
        reading = operating.probe_now(actor, line)
        why = f": {', '.join(reading.reasons)}" if reading.reasons else ""
        return f"The probe says {reading.state}{why}."

    return _at_once(request, line, deed)


@page
@require_http_methods(["GET", "POST"])
def send_test(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Send a text to the operator's own phone."""
    line = line_of(actor, pk)
    asked = Confirmation(
        title=f"Send a test from {pretty(line.address)}",
        sentence="One text goes to your own phone. It counts on the line like any other.",
        action="Send it",
        back=url_of(pk),
        choices="console/lines/_test.html",
        context={"to": request.POST.get("to", "")},
        hold=NO_HOLD,
    )
    answer = confirm(request, actor, asked)
    if not isinstance(answer, Confirmed):
        return answer
    to = answer.data.get("to", "")
    words = "The test is with the provider; its delivery stands under Last tests."
    return _do(request, actor, asked, lambda: operating.send_test(actor, line, to=to), words)


# --- Limits, repairs, callbacks, the router


@page
@require_http_methods(["GET", "POST"])
def set_cap(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Raise or lower a limit, for a while or for good."""
    line = line_of(actor, pk)
    limits = limits_of(line)
    now = {name: getattr(line, name, None) or getattr(limits, name, None) for name in _CAPS}
    asked = Confirmation(
        title=f"Change a limit of {pretty(line.address)}",
        sentence="A line's own limit is never above what its provider allows.",
        action="Change it",
        back=url_of(pk),
        facts=[Fact(words, "no limit" if now[name] is None else f"{now[name]:g}") for name, words in _CAPS.items()],
        choices="console/lines/_cap.html",
        context={"caps": _CAPS, "given": request.POST, "mutes": _MUTES},
        needs_reason=True,
        hold=NO_HOLD,
    )
    answer = confirm(request, actor, asked, errors=_uncapped(request) if request.method == "POST" else None)
    if not isinstance(answer, Confirmed):
        return answer
    name, value = request.POST["name"], float(request.POST["value"])
    until = _until(request.POST.get("until", ""))
    words = f"{_CAPS[name]}: {value:g}."
    return _do(
        request,
        actor,
        asked,
        lambda: operating.set_cap(actor, line, name=name, value=value, reason=answer.reason, until=until),
        words,
    )


def _uncapped(request: PageRequest) -> dict[str, str]:
    errors = {}
    if request.POST.get("name") not in _CAPS:
        errors["name"] = "Choose a limit."
    try:
        if not 0 <= float(request.POST.get("value", "")) < 1_000_000:
            errors["value"] = "Give a number from 0 to a million."
    except ValueError:
        errors["value"] = "Give a number."
    return errors


def _until(hours: str) -> Any:
    return timezone.now() + timedelta(hours=int(hours)) if hours in _MUTES else None


@page
@require_http_methods(["GET", "POST"])
def repair(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Restart the provider's machine, or its Messages, in one of the ways the driver knows."""
    line = line_of(actor, pk)
    repairs = sorted(driver_of(line.account).card.repairs)
    if not repairs:
        raise NotFound()
    asked = Confirmation(
        title=f"Repair {pretty(line.address)}",
        sentence="Its queue stops first. How it is after that the next probes tell.",
        action="Begin",
        back=url_of(pk),
        facts=_facts(line),
        choices="console/lines/_repair.html",
        context={"repairs": [(each, each.replace("_", " ").capitalize()) for each in repairs]},
        needs_reason=True,
        hold=NO_HOLD,
    )
    answer = confirm(request, actor, asked)
    if not isinstance(answer, Confirmed):
        return answer
    deed = answer.data.get("deed", "")
    words = "The repair has begun; the line is down until a probe says otherwise."
    return _do(request, actor, asked, lambda: operating.repair(actor, line, deed=deed, reason=answer.reason), words)


@page
@require_POST
def reinstall_callbacks(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Have the provider post to us again."""
    line = line_of(actor, pk)

    def deed() -> str:
        installed = operating.reinstall_callbacks(actor, line.account)
        return f"{line.account.name} posts to {', '.join(installed.urls) or 'nobody'}."

    return _at_once(request, line, deed)


@page
@require_http_methods(["GET", "POST"])
def rotate_secret(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """A new callback secret for the line's account."""
    line = line_of(actor, pk)
    asked = Confirmation(
        title=f"New callback secret for {line.account.name}",
        sentence="The provider is told the new one. The former one is accepted for a day.",
        action="Change it",
        back=url_of(pk),
        facts=[Fact("Lines of the account", line.account.lines.count())],
        undoable="What comes signed with the former one is taken until tomorrow.",
        hold=NO_HOLD,
    )
    answer = confirm(request, actor, asked)
    if not isinstance(answer, Confirmed):
        return answer
    words = f"{line.account.name} has a new callback secret."
    return _do(request, actor, asked, lambda: operating.rotate_callback_secret(actor, line.account), words)


@page
@require_http_methods(["GET", "POST"])
def rotate_router(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Show this router's number from now on."""
    line = line_of(actor, pk)
    if line.kind != Line.Kind.ROUTER:
        raise NotFound()
    forecast = routers.forecast_rotation(to=line)
    unproved = forecast.problem == routers.StandbyUnproved().message
    shown = pretty(forecast.now.address) if forecast.now else "none"
    until = times_of(request).exact(forecast.names_the_new_until)
    asked = Confirmation(
        title=f"Make {pretty(line.address)} the router",
        sentence="New humans are shown this number. The former router answers every text with it for 30 days.",
        action="Make it the router",
        back=url_of(pk),
        grade=4,
        facts=[Fact("Shown now", shown), Fact("The former one names it until", until)],
        warning=forecast.problem,
        undoable="Doing it the other way round takes it back.",
        typed=line.address,
        typed_words="the number",
        choices="console/lines/_anyway.html" if unproved else "",
        context={"anyway_words": "Make it the router all the same, though nothing proves it lately"},
        hold=NO_HOLD,
    )
    answer = confirm(request, actor, asked)
    if not isinstance(answer, Confirmed):
        return answer
    anyway = bool(answer.data.get("anyway"))
    return _do(
        request,
        actor,
        asked,
        lambda: routers.rotate_router(actor, to=line, reason=answer.reason, though_unproved=anyway),
        f"{pretty(line.address)} is the router now.",
    )


# --- Alerts, notes, incidents


@page
@require_POST
def acknowledge(request: PageRequest, actor: Actor, alert_pk: UUID) -> HttpResponse:
    """Somebody is at it."""
    alert = alert_of(actor, alert_pk)
    alerts.acknowledge(actor, alert)
    tell(request, "The alert is yours.")
    back = url_of(alert.line_id) if alert.line_id else LINES.url
    return toasts(request) if request.htmx else HttpResponseRedirect(back)


def alert_of(actor: Actor, pk: UUID) -> Alert:
    """An open alert, for operators; raises `NotFound`."""
    alert = next((each for each in showing.open_alerts(actor) if each.pk == pk), None)
    if alert is None:
        raise NotFound()
    return alert


@page
@require_POST
def mute(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Alerts about the line go out to nobody for a while."""
    line = line_of(actor, pk)
    hours = request.POST.get("until", "")
    until = _until(hours) or timezone.now() + timedelta(hours=1)
    words = f"Alerts about {pretty(line.address)} go out to nobody for {_MUTES.get(hours, 'an hour')}."
    return _at_once(request, line, lambda: alerts.mute(actor, line, until=until, reason=""), words)


@page
@require_POST
def add_note(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Write down something about a line, or about one of its incidents; or open an incident with it."""
    line, text = line_of(actor, pk), request.POST.get("text", "")
    if request.POST.get("opens"):
        return _at_once(request, line, lambda: incidents.open_incident(actor, line, text=text), "The incident is open.")
    return _at_once(request, line, lambda: incidents.note(actor, line, text=text), "The note is kept.")


@page
@require_POST
def add_incident_note(request: PageRequest, actor: Actor, pk: UUID, incident_pk: UUID) -> HttpResponse:
    """Write down something about an incident; end it with that, if it was opened by hand."""
    line = line_of(actor, pk)
    incident, text = incident_by(line, incident_pk), request.POST.get("text", "")
    back = incident_url(incident)
    if request.POST.get("closes"):
        words = "The incident is over."
        return _at_once(request, line, lambda: incidents.close_incident(actor, incident, text=text), words, back=back)
    words = "The note is kept."
    return _at_once(request, line, lambda: incidents.note(actor, line, text=text, incident=incident), words, back=back)


# --- Doing it


def _refuse(request: PageRequest, refused: DomainError, back: str) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    messages.error(request, refused.message)
    return HttpResponseRedirect(back)


def _do(request: PageRequest, actor: Actor, asked: Confirmation, deed: Callable[[], Any], words: str) -> HttpResponse:
    """Do what was confirmed; a refusal is asked about again, in place."""
    try:
        deed()
    except DomainError as refused:
        return ask_again(request, actor, asked, {"": refused.message})
    tell(request, words)
    return leave_for(request, asked.back)


def _at_once(
    request: PageRequest, line: Line, deed: Callable[[], Any], words: str = "", *, back: str = ""
) -> HttpResponse:
    """Do it; live regions follow by themselves. A deed that answers with words has them told."""
    back = back or url_of(line.pk)
    try:
        said = deed()
    except DomainError as refused:
        return _refuse(request, refused, back)
    tell(request, words or str(said))
    return toasts(request) if request.htmx else HttpResponseRedirect(back)
