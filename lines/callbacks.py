"""What providers tell us: proved on the raw bytes, stored raw with its job in one transaction, answered."""

import hashlib
import logging
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from core import secrets
from core.compiled import Compiled
from core.texts import cleaned
from core.wake import tell_workers
from lines.models import Callback, ProviderAccount
from lines.providers import driver_of, opened
from lines.providers.base import CallbackId, CallbackRefused

logger = logging.getLogger(__name__)

_STILL_ON_ITS_WAY = timedelta(seconds=10)

# The row and its job, or neither when the key is there already; one statement is a transaction, and the shortest.
_STORE = """
WITH kept AS (
    INSERT INTO lines_callback
        (account_id, event_key, thread, body, order_key, late, state, detail, attempts, received_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, '', 0, clock_timestamp())
    ON CONFLICT (account_id, event_key) DO NOTHING
    RETURNING id, thread
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, args)
SELECT 'default', 'imessage.receive', 0, nullif(thread, ''), jsonb_build_object('callback_id', id) FROM kept
RETURNING id
"""

_account = Compiled(lambda key: ProviderAccount.objects.filter(pk=key), key=UUID(int=1))


def callback_url(account: ProviderAccount) -> str:
    """Where this account's provider posts to; the address is configuration, never guessed from a request.

    With a provider that signs nothing the path ends with the account's secret: keep it out of logs.
    """
    secret = [opened(account).callback_secret] if driver_of(account).secret_in_path else []
    return f"{settings.BASE_URL}{reverse('callback', args=[account.id, *secret])}"


def status_url(account: ProviderAccount, order_key: str) -> str:
    """Where status callbacks of one order go; the path proves that we named it."""
    token = secrets.digest(_claim(account.id, order_key))
    return f"{settings.BASE_URL}{reverse('callback', args=[account.id, order_key, token])}"


@csrf_exempt
@require_POST
def receive(request: HttpRequest, account_id: UUID, order_key: UUID | None = None, token: str = "") -> HttpResponse:
    """A provider's callback: 204 once it is committed, also for a repeat; 401 unproved; 404 unknown account."""
    account = _account.first(key=account_id)
    if account is None:
        return HttpResponse(status=404)
    body, named = request.body, str(order_key or "")
    try:
        _prove(account, request, order_key=named, token=token)
    except CallbackRefused as refused:
        ProviderAccount.objects.filter(pk=account.pk).update(callbacks_refused=F("callbacks_refused") + 1)
        logger.warning("Refused a callback", extra={"account_id": str(account_id), "reason": str(refused)})
        return HttpResponse(status=401)
    store(account, body, polled=False, order_key=named)
    return HttpResponse(status=204)


def store(account: ProviderAccount, body: bytes, *, polled: bool, order_key: str = "") -> bool:
    """Keep a proved callback with its job, once per event key; False for a repeat.

    What only a poll found is marked late, unless it is so new that its callback may still be on its way. A body
    the driver cannot tell apart is kept under a key of its own digest, for the operator. `order_key` is the order
    that the callback's path named.
    """
    told_apart = _told_apart(account, body)
    late = polled and (told_apart.at is None or timezone.now() - told_apart.at > _STILL_ON_ITS_WAY)
    with connection.cursor() as cursor:
        cursor.execute(
            _STORE,
            [account.pk, told_apart.key, told_apart.thread, body, order_key, late, Callback.State.STORED],
        )
        is_new = cursor.fetchone() is not None
    if is_new:
        tell_workers()
    return is_new


def unheard(account: ProviderAccount, bodies: Sequence[bytes]) -> list[bytes]:
    """Those that were not stored yet: a poll that overlaps the last one brings mostly what is known."""
    keys = [_told_apart(account, body).key for body in bodies]
    known = set(account.callbacks.filter(event_key__in=keys).values_list("event_key", flat=True))
    return [body for body, key in zip(bodies, keys, strict=True) if key not in known]


def _told_apart(account: ProviderAccount, body: bytes) -> CallbackId:
    """The driver's word, fit for our columns; for a body it cannot read, its digest."""
    try:
        told = driver_of(account).identify(opened(account), body=body)
    except (ValueError, KeyError, TypeError, AttributeError):
        told = CallbackId(key=f"sha256:{_sha256(body)}")
    key = cleaned(told.key)
    if len(key) > 200:  # cut short, two of them might look the same
        key = f"sha256:{_sha256(key.encode())}"
    return CallbackId(key, cleaned(told.thread)[:210], told.at)


def _prove(account: ProviderAccount, request: HttpRequest, *, order_key: str, token: str) -> None:
    if order_key and not secrets.matches(_claim(account.id, order_key), token):
        raise CallbackRefused("The path names an order under a wrong token.")
    url = f"{settings.BASE_URL}{request.get_full_path()}"
    headers = dict(request.headers)
    driver_of(account).prove(opened(account), headers=headers, body=request.body, url=url, order_key=order_key)


def _claim(account_id: UUID, order_key: str) -> str:
    return f"status/{account_id}/{order_key}"


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
