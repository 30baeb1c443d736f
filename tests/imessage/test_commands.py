"""What a text to the router asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.identities import normal_handle
from imessage.connecting import read_command


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("connect @helper", ("connect", "helper")),
        ("Connect @Helper", ("connect", "helper")),
        ("CONNECT @HELPER", ("connect", "helper")),
        ("  connect   @helper  ", ("connect", "helper")),
        ("connect helper", ("connect", "helper")),
        ("connect@helper", ("connect", "helper")),
        ("connect @ helper", ("connect", "helper")),
        ("connect\n@helper", ("connect", "helper")),
        ("connect\u00a0@helper", ("connect", "helper")),
        ("\u2003connect\u202f@helper\u00a0", ("connect", "helper")),
        ("“connect @helper”", ("connect", "helper")),
        ('"connect @helper"', ("connect", "helper")),
        ("connect “@helper”", ("connect", "helper")),
        ("connect '@helper'.", ("connect", "helper")),
        ("connect <@helper>", ("connect", "helper")),
        ("connect @helper.", ("connect", "helper")),
        ("connect @helper!!", ("connect", "helper")),
        ("connect @a-1-b", ("connect", "a-1-b")),
        ("connect @" + "a" * 63, ("connect", "a" * 63)),
        ("disconnect @helper", ("disconnect", "helper")),
        ("Disconnect helper", ("disconnect", "helper")),
        ("disconnect", ("disconnect", "")),
        ("DISCONNECT.", ("disconnect", "")),
        ("help", ("help", "")),
        ("Help!", ("help", "")),
        ("hi", ("help", "")),
        ("?", ("help", "")),
        ("connect", ("other", "")),
        ("connect @", ("other", "")),
        ("connect @" + "a" * 64, ("other", "")),
        ("connect @hélper", ("other", "")),
        ("connect @helper please", ("other", "")),
        ("connect @helper @other", ("other", "")),
        ("reconnect @helper", ("other", "")),
        ("connecthelper", ("other", "")),
        ("connect @help_er", ("other", "")),
        ("", ("other", "")),
        ("\u0661", ("other", "")),
        ("x" * 18_996, ("other", "")),
    ],
)
def test_the_command_in_a_text(text: str, read: tuple[str, str]) -> None:
    command = read_command(text)
    assert (command.verb.value, command.handle) == read


@given(st.text(max_size=200))
def test_any_text_is_read_as_some_command(text: str) -> None:
    assert read_command(text).verb in {"connect", "disconnect", "help", "other"}


@given(st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True), st.sampled_from(["", "@", " @", "@ "]))
def test_every_handle_that_may_exist_can_be_connected_to(handle: str, at: str) -> None:
    assert normal_handle(handle) == handle
    assert read_command(f"connect {at}{handle}").handle == handle
