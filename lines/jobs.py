"""Jobs of lines: looking at them, and reading back what callbacks may have lost."""

import logging

from django.db.models import Q
from procrastinate.contrib.django import app

from lines import health, polling
from lines.models import Line, ProviderAccount

logger = logging.getLogger(__name__)


@app.periodic(cron="* * * * *")
@app.task(name="lines.probe_all", queueing_lock="lines.probe_all")
def probe_all(timestamp: int) -> None:
    """Look at every line that is not retired."""
    for line in Line.objects.exclude(wanted=Line.Wanted.RETIRED).select_related("account"):
        health.probe(line)


@app.periodic(cron="* * * * * */5")
@app.task(name="lines.probe_troubled", queueing_lock="lines.probe_troubled")
def probe_troubled(timestamp: int) -> None:
    """Look again soon at lines that were down or unknown: their queues wait for the answer."""
    troubled = Q(seen=Line.Seen.DOWN) | Q(seen=Line.Seen.UNKNOWN)
    for line in Line.objects.filter(troubled).exclude(wanted=Line.Wanted.RETIRED).select_related("account"):
        health.probe(line)


@app.periodic(cron="* * * * * */15")
@app.task(name="lines.poll_all", queueing_lock="lines.poll_all")
def poll_all(timestamp: int) -> None:
    """Read back what each provider says happened; callbacks get lost."""
    for account in ProviderAccount.objects.all():
        polling.poll(account)
