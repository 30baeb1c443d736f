"""A line on the simulated phone network through a shift: texts both ways, and the rounds of the health job by a clock
that the test moves."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from imessage.queues import tell_queues
from imessage.receiving import apply_callback
from lines import dispatching, polling
from lines.callbacks import store
from lines.health import alerts, incidents, measuring, seeing, showing
from lines.health.showing import LineRow
from lines.models import Alert, Callback, Incident, Line
from lines.providers.base import SendOrder
from tests import make
from tests.simulator.running import LINE, Network, Receiver, eventually

MINUTE = timedelta(minutes=1)
HUMANS = [f"+1555555{number:04d}" for number in range(1000, 1010)]


@dataclass
class Shift:
    """`now` is the clock of the health job; texts themselves take their real time."""

    network: Network
    receiver: Receiver
    line: Line
    offset: timedelta = timedelta(0)
    told: int = 0

    @property
    def now(self) -> datetime:
        return timezone.now() + self.offset

    @property
    def row(self) -> LineRow:
        return showing.one(make.operator(), self.line, now=self.now)

    @property
    def codes(self) -> list[str]:
        return [reason.code for reason in self.row.reasons]

    @property
    def alerts(self) -> set[str]:
        return set(Alert.objects.open().values_list("cause", flat=True))

    @property
    def incident(self) -> Incident:
        return Incident.objects.filter(line=self.line).latest("opened_at")

    def say(self, *humans: str, times: int = 1, service: str = "imessage") -> None:
        """Texts to these humans over the real driver, as an operator's tests."""
        for human in humans * times:
            key = uuid4()
            with transaction.atomic():
                call = dispatching.claim(
                    kind="test",  # type: ignore[arg-type]
                    order_id=key,
                    line=self.line,
                    human=human,
                    text="hi",
                )
            order = SendOrder(key=str(key), line=LINE, human=human, text="hi", service=service)
            dispatching.settle(call, dispatching.call(call, order))
        self.hear()

    def hear(self) -> None:
        """What the network posted by now is stored and applied."""
        eventually(lambda: self.network.pending() == 0)
        for _, body in self.receiver.posts[self.told :]:
            store(self.line.account, body, polled=False)
        self.told = len(self.receiver.posts)
        self._apply()

    def minutes(self, count: int = 1) -> None:
        """So many minutes with the health job's rounds; of a long time the first and the last, to be quick."""
        for number in range(count):
            self.offset += MINUTE
            if 2 <= number < count - 2:
                continue
            polling.poll(self.line.account)
            self._apply()
            tell_queues()
            measuring.measure(now=self.now)
            incidents.note_touched(now=self.now)
            self.line = seeing.probe(self.line, now=self.now)
            alerts.review(now=self.now)

    def jump(self, **span: float) -> None:
        """Time in which nothing new is to be seen."""
        self.offset += timedelta(**span)

    def set_faults(self, **faults: object) -> None:
        assert self.network.set_faults(LINE, **faults).status_code == 200

    def refresh(self) -> None:
        """Take up what was changed behind the job's back."""
        self.line = Line.objects.select_related("account").get(pk=self.line.pk)

    def _apply(self) -> None:
        for key in Callback.objects.filter(state="stored").order_by("id").values_list("id", flat=True):
            apply_callback(key)
