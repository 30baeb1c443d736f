"""Periodic work of the APIs."""

from procrastinate.contrib.django import app

from api import idempotency


@app.periodic(cron="29 * * * *")
@app.task(name="api.forget_old_idempotency_keys", queueing_lock="api.forget_old_idempotency_keys")
def forget_old_idempotency_keys(timestamp: int) -> None:
    """Keys are promised for 24 hours; their answers hold message texts, so they are not kept longer."""
    idempotency.forget_old_keys()
