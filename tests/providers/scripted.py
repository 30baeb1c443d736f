"""A provider whose answers a test writes down, and the callbacks it would post; the edge is faked, nothing else."""

import inspect
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django import app

from imessage.draining import ConversationQueue, RouterQueue, drain
from imessage.models import Conversation, Message
from imessage.receiving import apply_callback
from lines.callbacks import store
from lines.models import Callback, Dispatch, Line, ProviderAccount
from lines.providers.base import (
    ErrorClass,
    LineReading,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    SendOrder,
    SendReceipt,
)
from lines.providers.simulated import SimulatedDriver
from tests import make

_ids = itertools.count(1)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class ScriptedDriver(SimulatedDriver):
    """Takes every text at once unless `answers` says otherwise; `looked_up` are the answers of `find_sent`."""

    name = "scripted"

    def __init__(self) -> None:
        self.sent: list[SendOrder] = []
        self.answers: list[SendReceipt | Callable[[SendOrder], SendReceipt]] = []
        self.looked_up: list[SendReceipt | ProviderCallFailed | None] = []
        self.known: list[set[str]] = []
        self.has_send_key = False
        self.state = "healthy"
        self.direct: list[dict[str, Any]] = []
        self.direct_fails = False
        self.in_transaction: list[bool] = []

    @property
    def texts(self) -> list[str]:
        return [order.text for order in self.sent]

    def send(self, account: Any, order: SendOrder) -> SendReceipt:
        self.in_transaction.append(connection.in_atomic_block)
        self.sent.append(order)
        if not self.answers:
            return accepted()
        answer = self.answers.pop(0)
        return answer(order) if callable(answer) else answer

    def can_repeat(self, account: Any, *, line: str) -> bool:
        return self.has_send_key

    def find_sent(self, account: Any, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        self.known.append(known)
        answer = self.looked_up.pop(0)
        if isinstance(answer, ProviderCallFailed):
            raise answer
        return answer

    def probe(self, account: Any, *, line: str) -> LineReading:
        return LineReading(state=self.state)

    def tapback(self, account: Any, **call: Any) -> None:
        self._direct(call)

    def typing(self, account: Any, **call: Any) -> None:
        self._direct(call)

    def mark_read(self, account: Any, **call: Any) -> None:
        self._direct(call)

    def background(self, account: Any, **call: Any) -> None:
        self._direct(call)

    def rename_group(self, account: Any, **call: Any) -> None:
        self._direct(call)

    def _direct(self, call: dict[str, Any]) -> None:
        if self.direct_fails:
            raise ProviderCallFailed(None)
        self.direct.append(call)


def accepted(handle: str = "", state: str = "sent") -> SendReceipt:
    return SendReceipt(outcome=Outcome.ACCEPTED, handle=handle or f"h{next(_ids)}", state=state)


def refused(error_class: ErrorClass, code: str = "no", retry_after: float | None = None) -> SendReceipt:
    return SendReceipt(outcome=Outcome.REFUSED, error=ProviderError(error_class, code, "No.", retry_after))


def unknown() -> SendReceipt:
    return SendReceipt(outcome=Outcome.UNKNOWN)


def could_not_tell() -> ProviderCallFailed:
    return ProviderCallFailed(None)


def event(type: str, line: Line, human: str = make.HUMAN, *, id: str = "", **data: Any) -> bytes:
    """The raw callback, as the simulated network posts it."""
    return json.dumps(
        {
            "id": id or f"evt_{next(_ids)}",
            "type": type,
            "created_at": START.isoformat(),
            "data": {"line": line.address, "human": human, **data},
        }
    ).encode()


def text_event(line: Line, text: str = "hello", human: str = make.HUMAN, **data: Any) -> bytes:
    data = {"message_id": f"in{next(_ids)}", "text": text, "sent_at": START.isoformat(), **data}
    return event("message.received", line, human, **data)


def status_event(message: Message, status: str, *, second: int = 0, **data: Any) -> bytes:
    at = (START + timedelta(seconds=second)).isoformat()
    data = {"message_id": f"handle of {message.id}", "reference": str(message.id), "at": at, **data}
    if status == "read":
        return event("message.read", message.line, message.human, up_to_message_id=data["message_id"], at=at)
    return event("message.status", message.line, message.human, status=status, **data)


def tapback_event(message: Message, kind: str = "like", *, remove: bool = False, second: int = 0, **data: Any) -> bytes:
    at = (START + timedelta(seconds=second)).isoformat()
    data = {"message_id": message.provider_handle, "part": 0, "kind": kind, "emoji": None, "at": at, **data}
    return event("tapback.removed" if remove else "tapback.added", message.line, message.human, **data)


def tell(account: ProviderAccount, body: bytes, *, polled: bool = False) -> Callback:
    """Store a callback and apply it, as its job would; the row, also when it was there already."""
    before = set(account.callbacks.values_list("id", flat=True))
    store(account, body, polled=polled)
    new = account.callbacks.exclude(id__in=before).first() or account.callbacks.latest("id")
    apply_callback(new.id)
    new.refresh_from_db()
    return new


def text_in(line: Line, text: str = "hello", human: str = make.HUMAN, **data: Any) -> Callback:
    return tell(line.account, text_event(line, text, human, **data))


def drain_now(conversation: Conversation) -> None:
    drain(ConversationQueue(conversation.id))


def drain_router_now(line: Line, human: str = make.HUMAN) -> None:
    drain(RouterQueue(line.id, human))


def let_time_pass(ago: timedelta = timedelta(minutes=10)) -> None:
    """What was to be looked at later is due now; the calls were made so long ago."""
    Dispatch.objects.update(next_lookup_at=START, claimed_at=timezone.now() - ago)
    Conversation.objects.update(next_attempt_at=None)


def waiting_jobs(task: str = "") -> list[dict[str, Any]]:
    """Jobs that wait, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, task_name, args::text, lock, queueing_lock, scheduled_at FROM procrastinate_jobs"
            " WHERE status = 'todo' AND task_name LIKE %s ORDER BY id",
            [task or "%"],
        )
        rows = cursor.fetchall()
    return [
        {"id": row[0], "task": row[1], "args": json.loads(row[2]), "lock": row[3], "once": row[4], "at": row[5]}
        for row in rows
    ]


def forget_jobs() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_periodic_defers")
        cursor.execute("DELETE FROM procrastinate_jobs")


def run_jobs() -> None:
    """Run what waits and is due, in order, until nothing does, as a worker would; but call out to no endpoint."""
    while due := [job for job in waiting_jobs() if job["at"] is None]:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [due[0]["id"]])
        task = app.tasks[due[0]["task"]]
        if not inspect.iscoroutinefunction(task.func):  # the webhooks' courier, whose tests run it themselves
            task.func(**due[0]["args"])
