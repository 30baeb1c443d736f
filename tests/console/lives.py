"""One thread's life, made up at random from the product's own deeds."""

import contextlib
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from contactrules import rules, shadow
from contactrules.models import ContactRule, Shadow
from contactrules.reach import Draft
from core.errors import DomainError
from imessage import connecting, receipts, releasing, tapbacks
from imessage.models import Connection, Conversation, Message, Release, Tapback
from imessage.sending import send_message
from lines.models import Line
from lines.providers.base import ErrorClass
from tests import make
from tests.providers.scripted import (
    ScriptedDriver,
    accepted,
    drain_now,
    refused,
    status_event,
    tapback_event,
    tell,
    text_in,
    unknown,
)


class Life:
    """One human, one agent and an admin who do something at random, each deed an operation of the product."""

    def __init__(self, seed: int, conversation: Conversation, line: Line, router: Line, driver: ScriptedDriver) -> None:
        self.chance = random.Random(seed)
        self.conversation, self.line, self.router, self.driver = conversation, line, router, driver
        self.identity = conversation.identity
        self.admin, self.agent = make.admin_of(self.identity.organization), make.agent_of(self.identity)
        self.second = 0

    def step(self) -> None:
        deeds: list[Callable[[], Any]] = [self.text, self.text, self.send, self.send, self.status, self.status]
        deeds += [self.tapback, self.agent_tapback, self.rule, self.mode, self.connect, self.read, self.let_through]
        deeds += [self.shadow]
        self.second += 1
        self.conversation = Conversation.objects.select_related("identity", "connection__line").get(
            pk=self.conversation.pk
        )
        with contextlib.suppress(DomainError):  # refused: nothing happened
            self.chance.choice(deeds)()

    def text(self) -> None:
        text_in(self.line, f"text {self.second}", message_id=f"in {self.second}")

    def send(self) -> None:
        send_message(self.agent, conversation=self.conversation, text=f"answer {self.second}")
        self.driver.answers = [self.chance.choice([accepted(), unknown(), refused(ErrorClass.PERMANENT, "21610")])]
        self.driver.looked_up = [None, accepted(), accepted()]
        drain_now(self.conversation)

    def status(self) -> None:
        message = self.one(direction="outbound")
        status = self.chance.choice(["sent", "delivered", "error", "read"])
        more = {} if status == "read" else {"service": self.chance.choice(["imessage", "sms"]), "downgraded": True}
        if status == "error":
            more["error"] = {"code": "failed", "message": "It failed."}
        if message:
            Message.objects.filter(pk=message.pk).update(provider_handle=f"handle of {message.id}")
            tell(self.line.account, status_event(message, status, second=self.second, **more))

    def tapback(self) -> None:
        if message := self.one(provider_handle__gt=""):
            kind = self.chance.choice(["like", "love", "laugh"])
            second = self.chance.randrange(self.second + 1)  # the provider's clock, in whatever order
            told = tapback_event(message, kind, remove=self.chance.random() < 0.4, second=second)
            tell(self.line.account, told)

    def agent_tapback(self) -> None:
        mine = Tapback.objects.live().filter(direction="outbound").first()
        message = self.one(provider_handle__gt="", is_blocked=False)
        if mine and self.chance.random() < 0.5:
            tapbacks.take_back_tapback(self.agent, mine)
        elif message:
            tapbacks.send_tapback(self.agent, message, kind=self.chance.choice(["like", "question"]))

    def rule(self) -> None:
        rule = ContactRule.objects.first()
        if rule is None:
            action = self.chance.choice(["block", "allow"])
            rules.create_rule(self.admin, self.identity, action=action, match_target=make.HUMAN)
        elif self.chance.random() < 0.5:
            rules.delete_rule(self.admin, rule)
        else:
            status = "paused" if rule.status == "active" else "active"
            rules.update_rule(self.admin, rule, changes={"status": status}, reason="a whim")

    def mode(self) -> None:
        if self.chance.random() < 0.4:
            mode = self.chance.choice(["whitelist", "blacklist"])
            rules.set_filter_mode(self.admin, self.identity, mode=mode)

    def shadow(self) -> None:
        running = Shadow.objects.filter(state="running").select_related("identity").first()
        if running is None:
            draft, lasting = Draft.of_mode("whitelist"), timedelta(days=7)
            shadow.start_shadow(self.admin, self.identity, draft=draft, lasting=lasting)
        else:
            shadow.judge_new(running)

    def connect(self) -> None:
        connection = Connection.objects.filter(status="active").first()
        if connection and self.chance.random() < 0.4:
            connecting.release(self.admin, connection)
        elif connection is None:
            text_in(self.router, "connect @helper")

    def read(self) -> None:
        receipts.mark_read(self.agent, self.conversation)

    def let_through(self) -> None:
        blocked = self.one(is_blocked=True)
        if blocked and blocked.conversation.identity.is_reachable:
            releasing.release(self.admin, blocked, allow=False)
            Release.objects.update(due_at=timezone.now() - timedelta(seconds=1))
            releasing.settle(self.conversation.id)

    def one(self, **narrowed: Any) -> Message | None:
        found = list(Message.objects.filter(conversation=self.conversation, **narrowed).order_by("position"))
        return self.chance.choice(found) if found else None
