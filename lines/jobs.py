"""Jobs of lines: looking at them, measuring them, and reading back what callbacks may have lost."""

import logging
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from procrastinate.contrib.django import app

from core.wake import wake
from lines import moving, operating, polling, reading_back
from lines.health import alerts, incidents, measuring, seeing
from lines.models import Line, ProviderAccount

logger = logging.getLogger(__name__)


@app.periodic(cron="* * * * *")
@app.task(name="lines.measure", queueing_lock="lines.measure")
def measure(timestamp: int) -> None:
    """Measure every line from what flowed, have each account's lines looked at, then see to incidents and alerts."""
    measuring.measure()
    _probe_accounts(Line.objects.exclude(wanted=Line.Wanted.RETIRED), of="all")
    incidents.note_touched()
    operating.end_caps()
    alerts.review()
    # The ones that failed before, too; in a job of its own, for mail servers are slow.
    with transaction.atomic():
        wake("lines.tell_alerts", once="lines.tell_alerts")


@app.periodic(cron="* * * * * */5")
@app.task(name="lines.probe_troubled", queueing_lock="lines.probe_troubled")
def probe_troubled(timestamp: int) -> None:
    """Look again soon at lines that were down or unknown, for their queues wait, and at those that recover."""
    _probe_accounts(Line.objects.filter(_TROUBLED).exclude(wanted=Line.Wanted.RETIRED), of="troubled")


@app.task(name="lines.tell_alerts")
def tell_alerts() -> None:
    """Tell whoever wants to know of alerts that were opened or closed."""
    alerts.send_due()


@app.periodic(cron="17 3 * * *")
@app.task(name="lines.forget_readings", queueing_lock="lines.forget_readings")
def forget_readings(timestamp: int) -> None:
    """Probes are kept for a week, hours for a quarter; bands are drawn from the events, which stay."""
    measuring.forget()


_TROUBLED = Q(seen__in=[Line.Seen.DOWN, Line.Seen.UNKNOWN]) | Q(seen_reasons=["recovering"])


@app.task(name="lines.probe_account")
def probe_account(account_id: str, of: str) -> None:
    """Look at the lines of one account, one after the other: `all`, or those that are `troubled`.

    Once two in a row gave no answer, the provider has none for the others either; nobody waits for each of them.
    """
    lines = (
        Line.objects.filter(account_id=UUID(account_id)).exclude(wanted=Line.Wanted.RETIRED).select_related("account")
    )
    missed = 0
    for line in lines.filter(_TROUBLED) if of == "troubled" else lines:
        if missed >= 2:
            seeing.miss(line)
        else:
            missed = missed + 1 if seeing.probe(line).health.failed_probes else 0


@app.periodic(cron="* * * * * */15")
@app.task(name="lines.poll_all", queueing_lock="lines.poll_all")
def poll_all(timestamp: int) -> None:
    """Read back what each provider says happened; callbacks get lost."""
    with transaction.atomic():
        for account_id in ProviderAccount.objects.values_list("id", flat=True).order_by("id"):
            one = f"poll:{account_id}"
            wake("lines.poll", lock=one, once=one, account_id=str(account_id))


@app.task(name="lines.poll")
def poll(account_id: str) -> None:
    """Read back one provider account: a slow one keeps no other waiting."""
    polling.poll(ProviderAccount.objects.get(pk=account_id))


@app.task(name="lines.read_back")
def read_back(dispatch_id: str, turn: int) -> None:
    """Ask what became of an accepted text; `queueing_lock` is the text and the turn."""
    reading_back.read_back(UUID(dispatch_id), turn=turn)


@app.periodic(cron="*/10 * * * *")
@app.task(name="lines.move_stranded", queueing_lock="lines.move_stranded")
def move_stranded(timestamp: int) -> None:
    """Begin to move humans off lines that will not carry them any more."""
    if settings.MOVE_STRANDED:
        moving.move_stranded()


def _probe_accounts(lines: QuerySet[Line], *, of: str) -> None:
    """A job per account: a provider that hangs must not keep others from being looked at."""
    accounts = sorted(set(lines.values_list("account_id", flat=True)))
    with transaction.atomic():
        for account_id in accounts:
            name = f"probe:{account_id}"
            wake("lines.probe_account", lock=name, once=f"{name}/{of}", account_id=str(account_id), of=of)
