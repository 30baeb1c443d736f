"""Repeated requests: the same idempotency key gives the first answer again, for 24 hours (contract/inkbox.md 1.4)."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

import orjson
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from api.auth import actor_of
from api.models import IdempotencyKey
from api.parsing import Body
from core.errors import Conflict, DomainError, Invalid, NotFound
from core.secrets import seal, unseal

KEPT_FOR = timedelta(hours=24)

# How long a request waits for its twin before it is told to come back.
TWIN_WAIT = timedelta(seconds=5)

# What the document says of the header, for the operations that look at it.
IDEMPOTENT = {
    "parameters": [
        {
            "in": "header",
            "name": "Idempotency-Key",
            "required": False,
            "description": "The same key gives the first answer again for 24 hours.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*[!-~][ -~]*$"},
        }
    ]
}
KEYED = {"parameters": [{**IDEMPOTENT["parameters"][0], "required": True}]}

# The insert alone waits no longer than that: what comes after it waits as long as it does without a key.
_CLAIM = """
WITH patience AS MATERIALIZED (
    SELECT current_setting('lock_timeout') AS usual, set_config('lock_timeout', %s, true)
)
INSERT INTO api_idempotencykey (scope, operation, key, fingerprint, subject_id, status, answer, created_at)
SELECT %s, %s, %s, %s, '', 0, '', %s FROM patience
ON CONFLICT (scope, operation, key) DO NOTHING
RETURNING id, set_config('lock_timeout', (SELECT usual FROM patience), true)
"""

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class BadKey(Invalid):
    """An Idempotency-Key is 1 to 255 printable ASCII characters and not blank."""

    code = "bad_idempotency_key"


class KeyMissing(Invalid):
    """This request needs an Idempotency-Key header, the same one at every repetition."""

    code = "idempotency_key_missing"


class KeyReused(Conflict):
    """This Idempotency-Key was already used for a different request; use a new key for a new request."""

    code = "idempotency_key_reused"


class KeyInProgress(Conflict):
    """A request with this Idempotency-Key is still under way; repeat in a moment."""

    code = "idempotency_in_progress"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered: its status, the exact body, and the id of the row it made."""

    status: int
    body: str
    subject_id: str = ""

    @classmethod
    def created(cls, shown: Any, subject_id: object) -> Self:
        """201 with what was made."""
        return cls(status=201, body=orjson.dumps(shown).decode(), subject_id=str(subject_id))

    @classmethod
    def changed(cls, shown: Any, subject_id: object) -> Self:
        """200 with what it is now."""
        return cls(status=200, body=orjson.dumps(shown).decode(), subject_id=str(subject_id))


def key_of(request: HttpRequest) -> str | None:
    """The request's `Idempotency-Key`, or None without one; raises `BadKey`."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and (not _KEY.fullmatch(key) or not key.strip()):
        raise BadKey(loc=["header", "Idempotency-Key"])
    return key


def required_key_of(request: HttpRequest) -> str:
    """The request's `Idempotency-Key`; raises `KeyMissing` without one, `BadKey`."""
    key = key_of(request)
    if key is None:
        raise KeyMissing(loc=["header", "Idempotency-Key"])
    return key


def subject_of(*, scope: object, operation: str, key: str) -> str:
    """The id of the row that the request with this key made; raises `NotFound` when no such request is known."""
    row = IdempotencyKey.objects.filter(scope=str(scope), operation=operation, key=key).first()
    if row is None or not row.subject_id:
        raise NotFound()
    return row.subject_id


def create_once(
    request: HttpRequest,
    *,
    operation: str,
    asked: Body | dict[str, Any],
    deed: Callable[[], Answer],
    sealed: bool = False,
) -> HttpResponse:
    """The answer to a request that makes something, given again to the same key of the same organization or agent.

    `sealed` when it shows a secret: then the answer is kept encrypted.
    """
    actor = actor_of(request)
    answer = once(
        scope=actor.identity_id or actor.organization_id,
        operation=operation,
        key=key_of(request),
        asked={"path": request.path, "body": asked.model_dump(mode="json") if isinstance(asked, Body) else asked},
        deed=deed,
        sealed=sealed,
    )
    return HttpResponse(answer.body, status=answer.status, content_type="application/json")


def once(
    *,
    scope: object,
    operation: str,
    key: str | None,
    asked: dict[str, Any],
    deed: Callable[[], Answer],
    sealed: bool = False,
) -> Answer:
    """Do the deed, or give the answer that the same key got before. Without a key the deed is simply done.

    The key is written in the deed's transaction: a twin that comes meanwhile waits on the unique index until
    the first has committed. A deed that is refused leaves no key behind.
    Raises `KeyReused` for another `asked`, `KeyInProgress` after waiting `TWIN_WAIT`, and what the deed raises.
    """
    if key is None:
        return deed()
    fingerprint = _fingerprint(asked)
    with transaction.atomic():
        row_id = _claim(str(scope), operation, key, fingerprint)
        if row_id is None:
            row = IdempotencyKey.objects.get(scope=scope, operation=operation, key=key)
            return _replay(row, fingerprint, sealed=sealed)
        outcome = _attempt(row_id, deed, sealed=sealed)
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


def forget_old_keys() -> int:
    """Delete the keys older than 24 hours; how many there were."""
    deleted, _ = IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()
    return deleted


def _claim(scope: str, operation: str, key: str, fingerprint: str) -> int | None:
    """The id of the new row, or None when the key is taken by a committed request."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(
                _CLAIM,
                [f"{TWIN_WAIT // timedelta(milliseconds=1)}ms", scope, operation, key, fingerprint, timezone.now()],
            )
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise KeyInProgress(retry_after=1) from error
            raise
        row = cursor.fetchone()
    return row[0] if row else None


def _attempt(row_id: int, deed: Callable[[], Answer], *, sealed: bool) -> Answer | DomainError:
    """The deed's answer, kept under the key; or its refusal, which takes the key away but not what it recorded."""
    row = IdempotencyKey.objects.filter(pk=row_id)
    try:
        answer = deed()
    except DomainError as refused:
        row.delete()
        return refused
    kept = seal(answer.body) if sealed else answer.body
    row.update(status=answer.status, answer=kept, subject_id=answer.subject_id)
    return answer


def _replay(row: IdempotencyKey, fingerprint: str, *, sealed: bool) -> Answer:
    if row.fingerprint != fingerprint:
        raise KeyReused()
    body = unseal(row.answer) if sealed else row.answer
    return Answer(status=row.status, body=body, subject_id=row.subject_id)


def _fingerprint(asked: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
