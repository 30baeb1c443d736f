"""Reading back what callbacks may have lost."""

import pytest

from lines import polling, providers
from lines.models import Callback, Line
from lines.providers.base import ProviderCallFailed
from tests import make
from tests.providers.scripted import ScriptedDriver, text_event

pytestmark = pytest.mark.django_db


class Pages(ScriptedDriver):
    """A provider with pages of events; its cursor is the number of the next page."""

    pages: list[list[bytes]]
    failing = False

    def poll(self, account: object, *, cursor: str, threads: object = ()) -> tuple[list[bytes], str]:
        if self.failing:
            raise ProviderCallFailed(None)
        page = int(cursor or 0)
        return (self.pages[page], str(page + 1)) if page < len(self.pages) else ([], cursor)


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    pages = Pages()
    monkeypatch.setitem(providers._DRIVERS, "pages", pages)
    return pages


@pytest.fixture
def line(pages: Pages) -> Line:
    return make.make_line(account=make.make_account("pages", provider="pages"))


def test_all_pages_are_read_once(line: Line, pages: Pages) -> None:
    pages.pages = [[text_event(line), text_event(line)], [text_event(line)]]
    assert [polling.poll(line.account), polling.poll(line.account)] == [3, 0]
    assert set(Callback.objects.values_list("late", flat=True)) == {True}


def test_what_a_callback_brought_is_not_found_again(line: Line, pages: Pages) -> None:
    body = text_event(line)
    pages.pages = [[body, body]]
    assert polling.poll(line.account) == 1
    line.account.poll_cursor = ""
    assert polling.poll(line.account) == 0


def test_a_failed_poll_keeps_its_place(line: Line, pages: Pages) -> None:
    pages.pages, pages.failing = [[text_event(line)]], True
    assert polling.poll(line.account) == 0
    pages.failing = False
    assert polling.poll(line.account) == 1
