"""How each line is: what is measured, what is seen, what is wanted, and who is told."""

from lines.health.seeing import hear_verdict, probe, see, want

__all__ = ["hear_verdict", "probe", "see", "want"]
