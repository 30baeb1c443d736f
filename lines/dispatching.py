"""One text to one provider, once: the claim before the call, the outcome after it, and what a lost answer takes.

An order is a message or a router message, known here by its id alone. The rules are contract/lines.md 2.7.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from lines import reading_back
from lines.models import Dispatch, Line
from lines.providers import driver_of, opened
from lines.providers.base import (
    Account,
    Driver,
    ErrorClass,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    SendOrder,
    SendReceipt,
)

# A worker that held its claim so long without calling was frozen; another may have taken over meanwhile.
LEASE = timedelta(seconds=10)

# How long a provider remembers a send key is not documented; after this a lost text is looked up instead.
KEY_TRUSTED_FOR = timedelta(minutes=30)

# Two honest "no"s of a lookup allow one new attempt; after that an operator decides.
MOST_BLIND_ATTEMPTS = 2


class Step(StrEnum):
    """What an order's standing dispatch asks for next."""

    CALL = "call"  # nothing stands: claim and call
    REPEAT = "repeat"  # the answer was lost: find out, by the send key or by looking it up
    WAIT = "wait"  # the answer was lost and it is too early to look again
    DONE = "done"  # the provider has it


@dataclass(frozen=True, slots=True)
class Next:
    step: Step
    dispatch: Dispatch | None = None
    at: datetime | None = None


def next_step(order_id: UUID) -> Next:
    """What to do for this order now. The caller holds the order's queue, so an in-flight call is a dead worker's."""
    standing = (
        Dispatch.objects.filter(order_id=order_id, outcome__in=[*Dispatch.OPEN, Dispatch.Outcome.ACCEPTED])
        .select_related("line__account")
        .first()
    )
    if standing is None:
        return Next(Step.CALL)
    if standing.outcome == Dispatch.Outcome.ACCEPTED:
        return Next(Step.DONE, standing)
    due = standing.next_lookup_at or standing.claimed_at + timedelta(seconds=settings.FIND_SENT_WAITS[0])
    return Next(Step.REPEAT, standing) if due <= timezone.now() else Next(Step.WAIT, standing, due)


def claim(
    *,
    kind: Dispatch.Kind,
    order_id: UUID,
    line: Line,
    human: str,
    text: str,
    first_contact: bool = False,
    service: str = "imessage",
) -> Dispatch:
    """Write the attempt down, inside the caller's transaction, before the provider is called."""
    attempt = Dispatch.objects.filter(order_id=order_id).count() + 1
    return Dispatch.objects.create(
        kind=kind,
        order_id=order_id,
        attempt=attempt,
        line=line,
        human=human,
        text=text,
        first_contact=first_contact,
        service=service,
        claimed_at=timezone.now(),
    )


def take_over(dispatch: Dispatch) -> Dispatch | None:
    """Claim a dead worker's call, inside the caller's transaction; its own late word will be refused.

    None when a report settled the call this moment: an accepted text must not become unknown again.
    """
    dispatch.generation += 1
    taken = (
        Dispatch.objects.open()
        .filter(pk=dispatch.pk, generation=dispatch.generation - 1)
        .update(generation=dispatch.generation, outcome=Dispatch.Outcome.UNKNOWN)
    )
    dispatch.outcome = Dispatch.Outcome.UNKNOWN
    return dispatch if taken else None


def is_taken_over(dispatch: Dispatch) -> bool:
    """Whether another worker has taken this call over: this one was thought dead and must stop."""
    return not Dispatch.objects.filter(pk=dispatch.pk, generation=dispatch.generation).exists()


def call(dispatch: Dispatch, order: SendOrder) -> SendReceipt:
    """Call the provider, outside any transaction; raises `ClaimLost` when the claim is too old to act on."""
    if timezone.now() - dispatch.claimed_at > LEASE:
        raise ClaimLost(str(dispatch.id))
    account = dispatch.line.account
    try:
        return driver_of(account).send(opened(account, correlation=str(dispatch.id)), order)
    except ProviderCallFailed as failed:
        # From `read_media`: the order could not be put together, so nothing left.
        return SendReceipt(outcome=Outcome.REFUSED if failed.error else Outcome.UNKNOWN, error=failed.error)


def find_out(dispatch: Dispatch, order: SendOrder) -> SendReceipt | None:
    """What became of a call whose answer was lost; None for an honest "no". Outside any transaction.

    With a true send key the same order is simply repeated; a repeat that did not get through says nothing of
    the first call. Raises `ProviderCallFailed` when nobody can tell now.
    """
    account = dispatch.line.account
    driver, credentials = driver_of(account), opened(account, correlation=str(dispatch.id))
    trusted = timezone.now() - dispatch.claimed_at < KEY_TRUSTED_FOR
    if trusted and driver.can_repeat(credentials, line=dispatch.line.address):
        return _repeat(driver, credentials, order)
    known = set(
        Dispatch.objects.filter(line=dispatch.line, human=dispatch.human)
        .exclude(pk=dispatch.pk)
        .exclude(handle="")
        .values_list("handle", flat=True)
    )
    # A minute of grace: the provider's clock is not ours.
    since = dispatch.claimed_at - timedelta(minutes=1)
    return driver.find_sent(credentials, order, since=since, known=known)


def settle(dispatch: Dispatch, receipt: SendReceipt) -> bool:
    """Record how a call ended, in the caller's transaction; False when the dispatch was settled before.

    An accepted text is the truth whoever reports it; anything else counts only from the latest claim.
    """
    rows = Dispatch.objects.open().filter(pk=dispatch.pk)
    if receipt.outcome is Outcome.ACCEPTED:
        settled = rows.update(
            outcome=Dispatch.Outcome.ACCEPTED,
            handle=receipt.handle,
            provider_state=receipt.state,
            settled_at=timezone.now(),
        )
        if settled:
            reading_back.plan(dispatch)
        return bool(settled)
    rows = rows.filter(generation=dispatch.generation)
    if is_unknown(receipt):
        return bool(rows.update(outcome=Dispatch.Outcome.UNKNOWN, next_lookup_at=_next_lookup(dispatch)))
    error = receipt.error or ProviderError(ErrorClass.PERMANENT, "refused", "")
    return bool(
        rows.update(
            outcome=Dispatch.Outcome.REFUSED,
            handle=receipt.handle,
            error_class=error.error_class,
            counts_against_line=error.counts_against_line,
            error_code=error.code[:60],
            error_text=error.text[:500],
            settled_at=timezone.now(),
        )
    )


def is_unknown(receipt: SendReceipt) -> bool:
    """Whether nobody knows if the text left: the answer was lost, or the provider itself cannot say."""
    unsure = receipt.error is not None and receipt.error.error_class is ErrorClass.UNKNOWN
    return receipt.outcome is Outcome.UNKNOWN or (receipt.outcome is Outcome.REFUSED and unsure)


def note_not_found(dispatch: Dispatch) -> bool:
    """Count an honest "no"; True once there were enough of them to call the text not sent."""
    dispatch.lookups += 1
    enough = dispatch.lookups >= len(settings.FIND_SENT_WAITS)
    noted = (
        Dispatch.objects.open()
        .filter(pk=dispatch.pk, generation=dispatch.generation)
        .update(
            outcome=Dispatch.Outcome.NOT_SENT if enough else Dispatch.Outcome.UNKNOWN,
            lookups=F("lookups") + 1,
            next_lookup_at=None if enough else _next_lookup(dispatch),
            settled_at=timezone.now() if enough else None,
        )
    )
    return enough and bool(noted)


def postpone(dispatch: Dispatch) -> datetime:
    """Nobody could tell: look again in a while. Such an answer never counts as a "no"."""
    at = timezone.now() + timedelta(seconds=settings.FIND_SENT_WAITS[0])
    Dispatch.objects.open().filter(pk=dispatch.pk).update(next_lookup_at=at)
    return at


def may_try_again(order_id: UUID) -> bool:
    """Whether a text that did not leave may have one new attempt without an operator's word."""
    blind = Dispatch.objects.filter(order_id=order_id, outcome=Dispatch.Outcome.NOT_SENT).count()
    return blind < MOST_BLIND_ATTEMPTS


class ClaimLost(Exception):
    """The claim is older than its lease: another worker may hold it, so this one must not call."""


def _repeat(driver: Driver, credentials: Account, order: SendOrder) -> SendReceipt:
    receipt = driver.send(credentials, order)
    for_good = {ErrorClass.PERMANENT, ErrorClass.RECIPIENT_UNREACHABLE}
    refused = receipt.error is not None and receipt.error.error_class in for_good
    if receipt.outcome is Outcome.ACCEPTED or refused:
        return receipt
    raise ProviderCallFailed(receipt.error)


def _next_lookup(dispatch: Dispatch) -> datetime:
    """The waits count from the claim, but a lookup that came late pushes the later ones back: "no"s must lie apart."""
    waits = settings.FIND_SENT_WAITS
    index = min(dispatch.lookups, len(waits) - 1)
    gap = waits[index] - (waits[index - 1] if index else 0)
    planned = dispatch.claimed_at + timedelta(seconds=waits[index])
    return max(planned, timezone.now() + timedelta(seconds=gap)) if index else planned
