"""When a failed delivery is tried again: a small value, the same for every endpoint of a dialect."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits between attempts, in seconds, each spread by `jitter` to both sides.

    With `only_faults` an answer that refuses the request is final: only no answer, 5xx, and what asks to come again
    (408, 429) is tried again. With `goes_on` an endpoint that is alive is tried on after the last wait.
    """

    waits: tuple[float, ...]
    jitter: float
    only_faults: bool = False
    goes_on: bool = True

    @property
    def attempts(self) -> int:
        """How often a delivery is tried in all."""
        return len(self.waits) + 1

    def wait_after(self, attempt: int, *, spread: float | None = None) -> timedelta | None:
        """How long to wait after the attempt with this number, from 1; None when it was the last.

        `spread` from -1 to 1 stands for the jitter; random when not given.
        """
        if attempt >= self.attempts:
            return None
        spread = random.uniform(-1, 1) if spread is None else spread  # noqa: S311 - nothing depends on it being secret
        return timedelta(seconds=self.waits[attempt - 1] * (1 + self.jitter * spread))

    def is_final(self, status: int | None) -> bool:
        """Whether a failure with this status, None for no answer, is the last attempt whatever waits are left."""
        if status == GONE:
            return True
        return self.only_faults and status is not None and status < 500 and status not in _COME_AGAIN


# An endpoint that says it is gone is not asked a second time.
GONE = 410
_COME_AGAIN = {408, 429}

# 14 attempts over 94.6 hours; 75 hours and more even when every wait is spread to its shortest (reliability.md, C1).
SCHEDULE = Schedule(
    waits=(5, _MINUTE, 5 * _MINUTE, 30 * _MINUTE, *(hours * _HOUR for hours in (2, 5, 8, 10, 12, 14, 14, 14, 15))),
    jitter=0.2,
)

# 6 attempts over 20.6 hours (contract/agentphone.md, section 11).
AGENTPHONE_SCHEDULE = Schedule(
    waits=(5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR), jitter=0.1, only_faults=True, goes_on=False
)

# An endpoint that takes some and refuses others is alive: what it refused is tried on, every hour for two weeks.
ALIVE_WITHIN = timedelta(hours=24)
TRIED_ON_EVERY = timedelta(hours=1)
TRIED_ON_FOR = timedelta(days=14)

# However long a receiver asks us to stay away.
LONGEST_RETRY_AFTER = timedelta(hours=24)

# An endpoint that did nothing but fail for so long is disabled.
DISABLED_AFTER = timedelta(days=5)


def wait_on(*, created_at: datetime, last_success_at: datetime | None, now: datetime) -> timedelta | None:
    """How long to wait when the schedule is at its end; None when it is time to give the delivery up.

    Not yet while the endpoint took anything of late: a receiver that fails nine times of ten gets everything.
    """
    alive = last_success_at is not None and now - last_success_at < ALIVE_WITHIN
    return TRIED_ON_EVERY if alive and now - created_at < TRIED_ON_FOR else None


def retry_after(value: str, *, now: datetime) -> timedelta | None:
    """What a `Retry-After` header asks for, in seconds or as a date, capped; None when it cannot be read."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        # Nobody needs more digits, and Python refuses to read thousands of them.
        wait = timedelta(seconds=int(value[:9])) if len(value) <= 9 else LONGEST_RETRY_AFTER
    else:
        try:
            wait = parsedate_to_datetime(value) - now
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(wait, timedelta(0)), LONGEST_RETRY_AFTER)
