"""The effects that a text may be sent with: our public names, and what Apple calls them."""

_BUBBLE = "com.apple.MobileSMS.expressivesend."
_SCREEN = "com.apple.messages.effect."

# Apple's framework, not vendors' pages: one of those confuses celebration with balloons.
EFFECTS = {
    "slam": f"{_BUBBLE}impact",
    "loud": f"{_BUBBLE}loud",
    "gentle": f"{_BUBBLE}gentle",
    "invisible": f"{_BUBBLE}invisibleink",
    "echo": f"{_SCREEN}CKEchoEffect",
    "spotlight": f"{_SCREEN}CKSpotlightEffect",
    "balloons": f"{_SCREEN}CKHappyBirthdayEffect",
    "confetti": f"{_SCREEN}CKConfettiEffect",
    "love": f"{_SCREEN}CKHeartEffect",
    "lasers": f"{_SCREEN}CKLasersEffect",
    "fireworks": f"{_SCREEN}CKFireworksEffect",
    "celebration": f"{_SCREEN}CKSparklesEffect",
    "shooting_star": f"{_SCREEN}CKShootingStarEffect",
}

BUBBLE_EFFECTS = frozenset(name for name, identifier in EFFECTS.items() if identifier.startswith(_BUBBLE))

_NAMES = {identifier: name for name, identifier in EFFECTS.items()}


def effect_of(identifier: str) -> str:
    """Our name of Apple's identifier; empty for an unknown one."""
    return _NAMES.get(identifier, "")
