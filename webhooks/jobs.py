"""Jobs of webhooks: thin; the rows are the state, a job is only the nudge."""

from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from core.actor import Actor
from webhooks.courier import deliver_due
from webhooks.fanout import TASK, fan_out, take_up_given_up
from webhooks.models import Delivery, OrderNumber, SigningKey, Subscription
from webhooks.nudging import nudge
from webhooks.signing import FORMER_VALID_FOR
from webhooks.subscribing import end_subscriptions

# How long what was delivered or has failed can be looked at and sent again.
KEPT_FOR = timedelta(days=30)
_BATCH = 2_000


# Tried for a minute, while the conversation's later events wait behind it; then the sweep takes it up.
@app.task(name=TASK, retry=RetryStrategy(max_attempts=5, exponential_wait=2))
def fanout(number: int) -> None:
    """Make an event's deliveries; `lock` is its conversation, so that those of one come in order."""
    if fan_out(number):
        nudge()


@app.periodic(cron="* * * * *")
@app.task(name="webhooks.sweep", queueing_lock="webhooks.sweep")
def sweep(timestamp: int) -> None:
    """Take up the events whose fan-out was given up."""
    if take_up_given_up():
        nudge()


@app.task(name="webhooks.deliver", queueing_lock="webhooks.deliver")
async def deliver() -> None:
    """Deliver until nothing is due; the worker's courier does it for all."""
    await deliver_due()


@app.periodic(cron="* * * * * */5")
@app.task(name="webhooks.retry_due", queueing_lock="webhooks.retry_due")
async def retry_due(timestamp: int) -> None:
    """Retries become due by themselves; and the net under every lost nudge."""
    await deliver_due(stay=0)


@app.task(name="webhooks.end_subscriptions")
def end_of_identity(identity_id: str) -> None:
    """An identity was deleted: nobody is told of it any more."""
    end_subscriptions(Actor.system("webhooks"), UUID(identity_id))


@app.periodic(cron="41 * * * *")
@app.task(name="webhooks.forget", queueing_lock="webhooks.forget")
def forget(timestamp: int) -> None:
    """Delete what is past its time, in batches."""
    now = timezone.now()
    while True:
        ids = Delivery.objects.filter(settled_at__lt=now - KEPT_FOR).order_by("settled_at").values("id")[:_BATCH]
        if not Delivery.objects.filter(pk__in=list(ids.values_list("id", flat=True))).delete()[0]:
            break
    OrderNumber.objects.filter(subscription__status=Subscription.Status.DELETED).delete()
    SigningKey.objects.filter(replaced_at__lt=now - FORMER_VALID_FOR).delete()
