"""Why a line is worse than healthy: every cause with what it makes of the line, how soon, and how the line leaves it.

Causes come from three places: what a probe or a driver says in its own words, what a number of `signals.py` says,
and what a failed send says at once. An unknown word is kept as it is and makes the line degraded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lines.health.signals import Level, Signal

HEALTHY, DEGRADED, DOWN, FLAGGED, UNKNOWN = "healthy", "degraded", "down", "flagged", "unknown"


@dataclass(frozen=True, slots=True)
class Cause:
    """`seen` is what it makes of the line; `words` what an operator reads.

    `at_once`: one reading is enough, no second one is waited for. `leaves_by_probe`: the first good probe proves it
    over, so that texts need not wait for the calm; the line is then *recovering*.
    """

    code: str
    seen: str
    words: str
    at_once: bool = False
    leaves_by_probe: bool = False


def _table(*causes: Cause) -> dict[str, Cause]:
    return {cause.code: cause for cause in causes}


CAUSES = _table(
    # What a probe says. Worse at once: contract/lines.md 7.3.
    Cause("wrong_sender", FLAGGED, "Texts would leave from another address than the line's.", at_once=True),
    Cause("flagged", FLAGGED, "The provider or Apple has flagged the line.", at_once=True),
    Cause("blocked", FLAGGED, "The provider has blocked the line.", at_once=True),
    Cause("quarantined", FLAGGED, "An operator has put the line into quarantine.", at_once=True),
    Cause("signed_out", DOWN, "The account is signed out; nothing can be sent.", at_once=True, leaves_by_probe=True),
    Cause("refused_access", DOWN, "The provider refuses our credentials.", at_once=True, leaves_by_probe=True),
    Cause("line_down", DOWN, "The provider said so when a text was sent.", at_once=True, leaves_by_probe=True),
    Cause("offline", DOWN, "The provider says that the line is offline.", leaves_by_probe=True),
    Cause("unreachable", DOWN, "The provider did not answer five times in a row.", at_once=True, leaves_by_probe=True),
    Cause("relapsed", DOWN, "It went down again as soon as texts flowed.", at_once=True),
    Cause("repairing", DOWN, "An operator has it restarted.", at_once=True, leaves_by_probe=True),
    Cause("at_risk", DEGRADED, "The provider calls the line at risk."),
    Cause("degraded", DEGRADED, "The provider calls the line degraded."),
    Cause("sign_in_unknown", DEGRADED, "The provider does not say whether the account is signed in."),
    Cause("helper_lost", DEGRADED, "The helper is gone: tapbacks, typing, effects and read receipts fail."),
    Cause("recovering", DEGRADED, "The trouble is over; the line is watched for a while.", at_once=True),
    Cause("unproved", UNKNOWN, "Nothing has proved for a while that the line lives.", at_once=True),
    # What the numbers say.
    Cause("errors_in_a_row", DOWN, "Seven sends failed in a row.", at_once=True),
    Cause("send_success", DOWN, "Too many sends fail."),
    Cause("unconfirmed", FLAGGED, "Texts are taken and never arrive: as when Apple has flagged a line silently."),
    Cause("downgrades", DEGRADED, "Too many texts become SMS."),
    Cause("queue_age", DEGRADED, "Texts wait too long."),
    Cause("delivery_time", DEGRADED, "Texts arrive much later than usual."),
    Cause("hand_over_time", DEGRADED, "The provider takes long to take a text."),
    Cause("inbound_delay", DEGRADED, "What humans write comes late."),
    Cause("callback_gap", DEGRADED, "Callbacks are lost; only the poll finds what came in."),
    Cause("inbound_silence", DEGRADED, "Nothing comes in, although texts are delivered."),
    Cause("replies", DEGRADED, "Too few humans answer what the line writes first."),
    Cause("out_per_in", DEGRADED, "The line writes far more than it hears."),
    Cause("volume", DEGRADED, "The line carries more texts than is good for it."),
    Cause("opt_outs", DEGRADED, "Too many humans opt out."),
    Cause("clock", DEGRADED, "The clock of the provider's machine is off."),
    Cause("refused_callbacks", DEGRADED, "Callbacks are refused: a secret that differs, or a stranger."),
)

# Numbers that say something of the allowance or of time alone; they make a line limited, never ill.
NOT_ILLNESS = frozenset({"load", "new_contacts", "proof_of_life", "failed_probes"})

# A verdict that hard is not theirs alone: while more than that is asked of them they only degrade.
_FLOW = frozenset(
    {"errors_in_a_row", "send_success", "unconfirmed", "delivery_time", "hand_over_time", "queue_age", "downgrades"}
)

_SEVERITY = {HEALTHY: 0, UNKNOWN: 1, DEGRADED: 1, DOWN: 2, FLAGGED: 3}

# Words that drivers and older rows use for a cause of the table.
_SYNONYMS = {
    "no_answer": "unreachable",
    "unauthorized": "refused_access",
    "line_offline": "offline",
    "line_blocked": "blocked",
    "critical": "flagged",
    "alias_lost": "wrong_sender",
    "helper_disconnected": "helper_lost",
}


def cause_of(code: str, *, seen: str = DEGRADED) -> Cause:
    """The cause of a code; an unknown code makes of the line what `seen` says."""
    code = _SYNONYMS.get(code, code)
    words = code.replace("_", " ").capitalize() + "."
    return CAUSES.get(code) or Cause(code, seen, words, leaves_by_probe=True)


def of_probe(state: str, codes: Sequence[str]) -> list[Cause]:
    """What a probe's answer means; a state worse than all its codes counts itself."""
    causes = [cause_of(code, seen=state) for code in codes]
    if state != HEALTHY and severity(causes) < _SEVERITY[state]:
        plain = {DEGRADED: "degraded", DOWN: "offline", FLAGGED: "flagged", UNKNOWN: "unproved"}
        causes.append(CAUSES[plain[state]])
    return causes


def of_signals(signals: Iterable[Signal], *, flowing: bool) -> list[Cause]:
    """What the numbers mean. While nothing flows, those about flow say what was, not what is, and are left out."""
    causes = []
    for signal in signals:
        if signal.name in NOT_ILLNESS or (signal.name in _FLOW and not flowing):
            continue
        if signal.level is Level.STOP:
            causes.append(CAUSES[signal.name])
        elif signal.level is Level.DEGRADED:
            cause = CAUSES[signal.name]
            causes.append(Cause(cause.code, DEGRADED, cause.words))
    return causes


def severity(causes: Iterable[Cause]) -> int:
    """How bad the worst of them is, as a number to compare; 0 for none."""
    return max((_SEVERITY[cause.seen] for cause in causes), default=0)


def worst_seen(causes: Sequence[Cause]) -> str:
    """What they make of the line together. Not knowing gives way to knowing something bad."""
    worst = max(causes, key=lambda cause: (_SEVERITY[cause.seen], cause.seen != UNKNOWN), default=None)
    return worst.seen if worst else HEALTHY
