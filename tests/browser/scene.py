"""A day at the switchboard: every page of the console has something to show afterwards. For pictures and axe."""

import contextlib
import http.server
import threading
from collections.abc import Iterator

from tests.browser.people import Agent, Human
from tests.installation import Installation, waited

_DIALOGUES = [
    ("Hi! Is the 14:05 to Lisbon still on time?", "It is. Gate B12, boarding at 13:35."),
    ("Could you move my dinner to nine?", "Done: 21:00, the table by the window is still yours."),
    ("What did the florist say?", "Tulips tomorrow morning, before ten."),
]
_RULES = ["contact_rules", "--organization", "demo", "--identity", "concierge"]
# A line that nobody here talks over.
_SPARE = """
SELECT address FROM lines_line l WHERE kind = 'pool' ORDER BY
    (SELECT count(*) FROM lines_route r WHERE r.line_id = l.id AND held_until IS NULL), created_at DESC LIMIT 1
"""
# What cannot be done from outside is done by the product's own operations.
_DEEDS = """
from datetime import timedelta
from django.utils import timezone
from accounts.identities import create_identity, update_identity
from accounts.models import Identity, Organization
from contactrules.reach import Draft
from contactrules.rehearsal import prepare, run
from contactrules.rules import create_rule
from contactrules.shadow import judge_running, start_shadow
from core.actor import Actor
from imessage.models import Message
from imessage.reviewing import mark_reviewed
from lines import operating
from lines.health import incidents
from lines.models import Incident, IncidentHuman, Line, LineEvent, LineHour
actor = Actor.system("Demo operator")
demo = Organization.objects.named("demo").get()
concierge = Identity.objects.get(handle="concierge")
if {step!r} == "before":
    create_identity(actor, organization=demo, handle="sales", imessage_enabled=True)
    support = create_identity(actor, organization=demo, handle="support", imessage_enabled=True)
    update_identity(actor, support, changes={{"status": "paused"}})
    create_rule(actor, concierge, action="allow", match_target="+15555550199", reason="The owner's own phone.")
    week = timedelta(days=7)
    start_shadow(actor, concierge, draft=Draft.of_mode("whitelist"), lasting=week, reason="Before the flip")
    ill = Line.objects.get(address={ill!r})
    # A past, which a fresh installation does not have.
    now, line_health = timezone.now(), Actor.system("line health").frozen()
    Line.objects.update(created_at=now - timedelta(days=40))
    past = [("healthy", "degraded", "helper_lost", 19), ("degraded", "healthy", "answers", 16),
            ("healthy", "down", "unreachable", 9), ("down", "healthy", "answers", 8)]
    for before, after, reason, hours in past:
        at = now - timedelta(hours=hours)
        LineEvent.objects.create(
            line=ill, column="seen", before=before, after=after, reason=reason, actor=line_health, at=at
        )
    for line in Line.objects.all():
        for hour in range(1, 24):
            begins = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hour)
            bad = 4 if line == ill and hour in (8, 9, 18) else 0
            counts = {{"accepted": 30, "failed": bad, "delivered": 30, "inbound": 18, "downgraded": int(hour % 7 == 0)}}
            LineHour.objects.get_or_create(line=line, hour=begins, defaults={{"outbound": 30 + bad, **counts}})
    operating.probe_now(actor, ill)
    incident = Incident.objects.get(line=ill)
    for human, how in (("+15555560201", "held"), ("+15555560202", "failed")):
        IncidentHuman.objects.create(incident=incident, human=human, how=how, first_at=now)
    incidents.note(actor, ill, text="The SIM phone is being restarted at the office.", incident=incident)
else:
    judge_running()
    month = timezone.now() - timedelta(days=30)
    rehearsal = prepare(actor, organization=demo, identity=concierge, draft=Draft.of_mode("whitelist"), since=month)
    run(rehearsal, live=lambda identities: [])
    mark_reviewed(actor, Message.objects.filter(is_blocked=True).order_by("created_at")[0])
"""


@contextlib.contextmanager
def played(product: Installation, agent: Agent) -> Iterator[None]:
    """Humans talk, one is blocked, one endpoint works and one fails, a shadow runs, a line is signed out."""
    with _receiver(200) as good, _receiver(500) as bad:
        for url in (good, bad):
            agent.subscribe(url)
        ((ill,),) = product.sql(_SPARE)
        product.network("PUT", f"/control/lines/{ill}/faults", {"state": "signed_out"})
        _do(product, "before", ill=ill)
        humans = [Human(product) for _ in _DIALOGUES]
        for human, (asked, answered) in zip(humans, _DIALOGUES, strict=True):
            human.text(asked)
            agent.send(human, answered)
            waited(lambda human=human: human.heard(), what="the answer on the phone")
            human.tapback("love")
        intruder = Human(product)
        intruder.text("You have won a prize!")
        agent.conversation(intruder)
        product.manage(*_RULES, "add", "block", intruder.number)
        for words in ("Click here to claim it", "Last chance", "Why do you not answer?"):
            intruder.text(words)
        humans[0].text("Thank you. And the way back?")
        blocked = "SELECT count(*) FROM imessage_message WHERE is_blocked"
        waited(lambda: product.sql(blocked)[0][0] >= 3, what="the blocked texts")
        waited(lambda: product.sql("SELECT count(*) FROM webhooks_attempt")[0][0] >= 4, what="attempts")
        _do(product, "after")
        yield
        product.network("PUT", f"/control/lines/{ill}/faults", {"state": "online"})


def _do(product: Installation, step: str, *, ill: str = "") -> None:
    product.manage("shell", "-v0", "-c", _DEEDS.format(step=step, ill=ill))


@contextlib.contextmanager
def _receiver(status: int) -> Iterator[str]:
    """The address of an endpoint that always answers the same."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing: tests read what matters from the product."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hooks"
        server.shutdown()
