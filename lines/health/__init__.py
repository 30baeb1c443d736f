"""How each line is: what is measured, what is seen, what is wanted, and who is told."""

from lines.health.seeing import probe, see, want

__all__ = ["probe", "see", "want"]
