"""The keys that all pages have, in the order of the `?` sheet; those of places (`console/rail.py`) and of
one page stand on its controls (`keys.js`)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """What to press, and what it does in words."""

    press: str
    words: str


EVERYWHERE = (
    Key("?", "This sheet"),
    Key("Ctrl+K", "Go to anything: a page, an identity, a thread, an id (⌘K on a Mac)"),
    Key("/", "Search, or filter this list by words"),
    Key("f", "Filters"),
    Key("v", "Views"),
    Key("c", "Copy a link to what is shown"),
    Key("e", "Export what is shown"),
    Key("t", "Times in your zone, or in UTC"),
    Key("z", "Undo what was just done"),
    Key(".", "Show what is new"),
    Key("p", "Pause live updates, or go on"),
    Key("u", "Back to the list, as Esc"),
)
IN_LISTS = (
    Key("j", "Next row"),
    Key("k", "Previous row"),
    Key("Enter", "Open the row"),
    Key("[", "Previous item of the list you came from"),
    Key("]", "Next item of the list you came from"),
    Key("x", "Select the row"),
    Key("X", "Select all rows from the last selected to this one"),
    Key("* p", "Select all on this page"),
    Key("* a", "Select all that match"),
    Key("* n", "Select none"),
)
