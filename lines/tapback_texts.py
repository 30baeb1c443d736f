"""Tapbacks that come as text, because the service or the provider has no other way to tell of them."""

import re
from dataclasses import dataclass

_VERBS = {
    "loved": "love",
    "liked": "like",
    "disliked": "dislike",
    "laughed at": "laugh",
    "emphasized": "emphasize",
    "emphasised": "emphasize",
    "questioned": "question",
}

_QUOTED = r"[“\"](?P<quoted>.*)[”\"]"
_GIVEN = re.compile(rf"(?P<verb>{'|'.join(_VERBS)}) {_QUOTED}", re.DOTALL | re.IGNORECASE)
_EMOJI = re.compile(rf"reacted (?P<emoji>\S{{1,32}}) to {_QUOTED}", re.DOTALL | re.IGNORECASE)
_TAKEN = re.compile(
    rf"removed an? (?P<noun>heart|like|dislike|laugh|exclamation|question mark) from {_QUOTED}",
    re.DOTALL | re.IGNORECASE,
)
_NOUNS = {
    "heart": "love",
    "like": "like",
    "dislike": "dislike",
    "laugh": "laugh",
    "exclamation": "emphasize",
    "question mark": "question",
}


@dataclass(frozen=True, slots=True)
class TapbackText:
    kind: str
    quoted: str
    emoji: str = ""
    removed: bool = False


def read_tapback(text: str) -> TapbackText | None:
    """The tapback that a text stands for; None for an ordinary text."""
    text = text.strip()
    if given := _GIVEN.fullmatch(text):
        return TapbackText(_VERBS[given["verb"].lower()], given["quoted"])
    if reacted := _EMOJI.fullmatch(text):
        return TapbackText("custom", reacted["quoted"], emoji=reacted["emoji"])
    if taken := _TAKEN.fullmatch(text):
        return TapbackText(_NOUNS[taken["noun"].lower()], taken["quoted"], removed=True)
    return None
