import pytest

from api.parsing import BadJson, parse_json
from tests.bad_input import BODIES

JSON_BUT_NO_OBJECT = {"a list", "null", "a text", "a number", "too large"}


@pytest.mark.parametrize("name", sorted(BODIES.keys() - JSON_BUT_NO_OBJECT))
def test_what_two_readers_may_read_differently_is_refused(name: str) -> None:
    with pytest.raises(BadJson):
        parse_json(BODIES[name])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\\ud83d\\ude42"]}', {"a": [1, 2.5, None, True, "\U0001f642"]}),
        (b' {"a": {"a": 1}} ', {"a": {"a": 1}}),
        (b"[" * 32 + b"]" * 32, None),
    ],
)
def test_json_is_read(text: bytes, value: object) -> None:
    assert value is None or parse_json(text) == value
