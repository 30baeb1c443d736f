"""How far polls of a BlueBubbles server have read, as the text of a cursor."""

from dataclasses import dataclass

from lines.providers.bluebubbles.wire import MOST_ROWS

# A poll looks so far back behind the last one, in milliseconds: rows are written late, and clocks differ.
OVERLAP = 5 * 60 * 1000
# A longer silence between two polls was an outage: a Mac that wakes writes down old texts for a while.
OUTAGE = 2 * 60 * 1000
OUTAGE_LASTS = 15 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Place:
    """How far polls have read, in milliseconds; written as four numbers.

    After an outage the time since `deep` is read again until `deep_until`. `skip` rows of the time since `start`
    have been read when there are more than fit one page.
    """

    read_to: int
    deep: int = 0
    deep_until: int = 0
    start: int = 0
    skip: int = 0

    @classmethod
    def read(cls, cursor: str, *, now: int) -> "Place":
        """The place a cursor names; an empty one begins with what was written lately."""
        return cls(*(int(number) for number in cursor.split("."))) if cursor else cls(read_to=now)

    def is_fresh(self, now: int) -> bool:
        """Whether this was read just now, to the end."""
        return not self.skip and now - self.read_to < 1000

    def __str__(self) -> str:
        return f"{self.read_to}.{self.deep}.{self.deep_until}.{self.start}.{self.skip}"

    def towards(self, now: int) -> "Place":
        """The place of a read that begins now, or of the one under way."""
        if self.skip:
            return self
        deep, until = self.deep, self.deep_until
        start = self.read_to - OVERLAP
        if now - self.read_to > OUTAGE:
            deep, until = (min(start, deep) if now < until else start), now + OUTAGE_LASTS
        if now < until:
            start = min(start, deep)
        return Place(now, deep, until, max(start, 0))

    def after(self, rows: int) -> "Place":
        skip = self.skip + rows if rows >= MOST_ROWS else 0
        return Place(self.read_to, self.deep, self.deep_until, self.start, skip)
