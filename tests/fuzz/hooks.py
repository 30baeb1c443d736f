"""What schemathesis must know of every dialect: values of our formats, a key for each call, and which ids there are."""

import json
import os
import random
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

from tests.fuzz.seeds import Facts

FACTS = Facts(**json.loads(os.environ["CORDBOARD_FUZZ"]))

_ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati"]
_paths = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", max_size=20)
_moments = st.datetimes().filter(lambda moment: 1900 <= moment.year < 3000).map(lambda moment: moment.isoformat())
_numbers = st.integers(0, 9999).map(lambda number: f"+1555555{number:04d}")

schemathesis.openapi.format("e164", _numbers)
schemathesis.openapi.format("e164-list", st.lists(_numbers, min_size=1, max_size=25).map(",".join))
schemathesis.openapi.format("web-url", _paths.map(lambda path: f"https://files.example.com/{path}"))
schemathesis.openapi.format("endpoint-url", _paths.map(lambda path: f"https://hooks.example.com/{path}"))
schemathesis.openapi.format("time-zone", st.sampled_from(_ZONES))
schemathesis.openapi.format(
    "moment", _moments | st.dates().filter(lambda day: 1900 <= day.year < 3000).map(lambda day: day.isoformat())
)
schemathesis.openapi.format("cursor", _moments)
schemathesis.openapi.format("reaction", st.sampled_from(["love", "like", "question", "\N{PARTY POPPER}"]))


class AuthorizationKey:
    """The admin's key behind a scheme in `Authorization`."""

    scheme = ""

    def get(self, case: Any, context: Any) -> str:
        return FACTS.key

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"{self.scheme} {data}"}


def name_what_is_there(case: Any) -> None:
    """Three in four well-formed ids become those of something that is there; what is deleted is made for that."""
    meta = case.meta
    if meta is None or meta.phase.name == TestPhase.STATEFUL:
        return
    known = {**FACTS.ids, **FACTS.spare} if case.method == "DELETE" else FACTS.ids
    if _is_good(meta, ParameterLocation.PATH) and case.path_parameters:
        case.path_parameters = _there(case.path_parameters, known)
    if _is_good(meta, ParameterLocation.QUERY) and case.query:
        case.query = _there(case.query, known)
    if _is_good(meta, ParameterLocation.BODY) and isinstance(case.body, dict):
        case.body = _there(case.body, known)


def _is_good(meta: Any, location: ParameterLocation) -> bool:
    return location in meta.components and meta.components[location].mode == GenerationMode.POSITIVE


def _there(values: Any, known: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: _known(value, known.get(name)) for name, value in values.items()}


def _known(value: Any, known: list[Any] | None) -> Any:
    dice = random.Random(repr(value))
    return value if not known or value is None or dice.random() < 0.25 else dice.choice(known)
