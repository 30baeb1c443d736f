"""What a line can do now, and the command that prints it."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from lines import cards, providers
from tests import make


def printed(*arguments: Any) -> str:
    out = StringIO()
    call_command("capabilities", *arguments, stdout=out)
    return out.getvalue()


def test_every_driver_has_a_column() -> None:
    head, *rows = printed().splitlines()
    assert head.split() == providers.names()
    assert "send_key" in {row.split()[0] for row in rows}


@pytest.mark.django_db
def test_a_line_s_card_lacks_what_the_last_probe_found_gone() -> None:
    line = make.make_line(lost_capabilities=["tapback", "poll", "effects", "most_media", "nonsense"])
    card = json.loads(printed("--json", "--line", line.address))[line.address]
    assert (card["tapback"], card["poll"], card["effects"], card["most_media"]) == (False, "none", [], 0)
    assert card["typing"]
    assert cards.card_of(line).services == ("imessage", "sms")


@pytest.mark.django_db
def test_a_line_that_is_not_there_is_refused() -> None:
    with pytest.raises(CommandError):
        printed("--line", "+15555550999")
