"""The driver of the simulated phone network, against the real one."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from lines.providers.base import (
    Account,
    Deadlines,
    ErrorClass,
    Group,
    Media,
    ProviderError,
    ReadReported,
    Scope,
    StatusChanged,
    TapbackArrived,
    TextArrived,
    TypingChanged,
    Unrecognised,
)
from lines.providers.simulated import DRIVER
from tests.lines.drivers.cases import (
    FILE,
    HUMAN,
    LINE,
    NEWCOMER,
    STRANGER,
    DriverCases,
    Failure,
    Posted,
    Recorded,
    StandIn,
)
from tests.simulator.running import SECRET, Network

FAULTS = ["state", "refuse", "send_key", "lost_answer", "error_after", "hold_before", "hold_after"]
SLOW = 0.3


def refused(code: str, status: int, **more: Any) -> dict[str, Any]:
    """The settings of a send that the network refuses."""
    return {"refuse": {"next": 1, "code": code, "status": status, **more}}


class Simulated(StandIn):
    """The network in its own process."""

    driver = DRIVER

    def __init__(self, network: Network) -> None:
        self.network = network
        self.account = Account(network.url, "provider-token", (SECRET,), deadlines=Deadlines(send=SLOW))

    def on_phone(self, human: str) -> list[str]:
        """`human` may be a group's key, which the human's handset shows as well."""
        where = {"human": HUMAN, "with": human} if human.startswith("grp_") else {"human": human, "with": LINE}
        return [bubble["text"] for bubble in self.network.inbox(**where) if bubble["from"] == LINE]

    def send_calls(self) -> int:
        return int(self.network.control("GET", "/stats").json()["texts"]["outbound"])

    def misbehave(self, how: str, **arrange: Any) -> None:
        faults = {
            "lose_answer": {"lost_answer": {"next": 1}},
            "fail_after": {"error_after": {"next": 1}},
            "too_slow": {"hold_after": {"next": 1, "seconds": SLOW * 2}},
            "refuse": arrange,
        }
        assert self.network.set_faults(**faults[how]).status_code == 200

    def behave(self) -> None:
        self.network.set_faults(**dict.fromkeys(FAULTS))

    def human_texts(self, text: str) -> Posted:
        return self._told_of(self.network.text_in(text, HUMAN, LINE))

    def human_replies(self, text: str, handle: str) -> Posted:
        return self._told_of(self.network.text_in(text, HUMAN, LINE, reply_to={"id": handle}))

    def human_sends_file(self) -> Posted:
        self.network.set_service("sms")
        bubble = self.network.text_in("", HUMAN, LINE, media=[FILE])
        self.network.set_service("imessage")
        return self._told_of(bubble)

    def group(self) -> Group:
        body = {"line": LINE, "members": [STRANGER], "name": ""}
        made = self.network.control("POST", f"/handsets/{HUMAN}/groups", body)
        return Group(str(made.json()["key"]), (HUMAN, STRANGER))

    def member_texts(self, group: Group, text: str) -> Posted:
        return self._told_of(self.network.text_in(text, HUMAN, group.key))

    def grows(self, group: Group) -> None:
        self.network.control("PATCH", f"/handsets/{HUMAN}/groups/{group.key}", {"add": [NEWCOMER]})

    def _told_of(self, bubble: dict[str, Any]) -> Posted:
        event = next(one for one in reversed(self.network.events()) if one["data"].get("message_id") == bubble["id"])
        return self._posted({name: event[name] for name in ("id", "type", "created_at", "data")})

    def strange(self) -> Posted:
        data = {"line": LINE, "human": HUMAN}
        return self._posted({"id": "evt_strange", "type": "weather.changed", "created_at": "2026-01-01", "data": data})

    def _posted(self, event: dict[str, Any]) -> Posted:
        body, moment = json.dumps(event), datetime.now(UTC)
        headers = {
            "webhook-id": event["id"],
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(event["id"], moment, body),
        }
        return Posted(headers, body.encode(), self.callback_url)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    network = Network(Path(tmp_path_factory.mktemp("network")))
    network.control("PUT", f"/lines/{LINE}", {"kind": "pool"})
    yield Simulated(network)
    network.kill()


AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
THREAD: dict[str, Any] = {"line": LINE, "human": HUMAN, "at": AT}

SAYS: list[tuple[str, dict[str, Any], Any]] = [
    (
        "message.received",
        {
            "message_id": "m",
            "text": "hi",
            "service": "sms",
            "sent_at": AT.isoformat(),
            "media": [{"url": "https://x.example/1.png", "content_type": "image/png", "size": None}],
        },
        TextArrived(
            **THREAD, handle="m", text="hi", service="sms", media=[Media("https://x.example/1.png", "image/png", None)]
        ),
    ),
    (
        "message.status",
        {"message_id": "m", "status": "delivered", "reference": "k", "service": "imessage", "downgraded": False},
        StatusChanged(**THREAD, handle="m", state="delivered", order_key="k", service="imessage", downgraded=False),
    ),
    (
        "message.status",
        {"message_id": "m", "status": "failed", "error": {"code": "not_on_imessage", "message": "No."}},
        StatusChanged(
            **THREAD,
            handle="m",
            state="error",
            error=ProviderError(ErrorClass.RECIPIENT_UNREACHABLE, "not_on_imessage", "No.", scope=Scope.HUMAN),
        ),
    ),
    ("message.read", {"up_to_message_id": "m"}, ReadReported(**THREAD, handle="m")),
    (
        "tapback.added",
        {"message_id": "m", "part": 1, "kind": "emoji", "emoji": "🦊"},
        TapbackArrived(**THREAD, handle="m", part=1, kind="custom", emoji="🦊"),
    ),
    (
        "tapback.removed",
        {"message_id": "m", "part": 0, "kind": "love", "emoji": None},
        TapbackArrived(**THREAD, handle="m", part=0, kind="love", removed=True),
    ),
    ("typing.changed", {"on": True}, TypingChanged(**THREAD, on=True)),
    ("message.edited", {"message_id": "m"}, Unrecognised(**THREAD, raw_type="message.edited")),
]


class TestSimulated(DriverCases):
    failures = [
        Failure("offline", {"state": "offline"}, ErrorClass.LINE_DOWN),
        Failure("signed out", {"state": "signed_out"}, ErrorClass.LINE_DOWN, scope=Scope.LINE),
        Failure("too fast", refused("rate_limited", 429, retry_after=7), ErrorClass.HELD, Scope.LINE, retry_after=7),
        Failure(
            "too many strangers", refused("new_contact_limit", 429, retry_after=60), ErrorClass.HELD, Scope.MESSAGE
        ),
        Failure("opted out", refused("opted_out", 403), ErrorClass.PERMANENT, Scope.HUMAN, counts=False),
        Failure("taken for spam", refused("filtered", 403), ErrorClass.PERMANENT, counts=True),
        Failure("nobody knows", refused("unresolved", 400), ErrorClass.UNKNOWN),
        Failure("a word nobody knows", refused("strange", 400), ErrorClass.PERMANENT, Scope.MESSAGE),
        Failure("out of order without a word", refused("strange", 502), None),
    ]
    recorded = [
        Recorded(
            f"{kind} {number}",
            json.dumps(
                {"id": "e", "type": kind, "data": {"line": LINE, "human": HUMAN, "at": AT.isoformat(), **data}}
            ).encode(),
            [says],
        )
        for number, (kind, data, says) in enumerate(SAYS)
    ]
