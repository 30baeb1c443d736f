"""The same key gives the same answer; whatever comes in between."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from api import idempotency
from api.models import IdempotencyKey
from imessage.models import Conversation, Message
from tests import make
from tests.api.conftest import Api

KEY = "b1a3a6f0-5b4e-4d3a-9a3e-2f3d8f0e9c11"


def body(conversation: Conversation, text: str = "hi") -> dict[str, str]:
    return {"conversation_id": str(conversation.id), "text": text}


def outbound() -> int:
    return Message.objects.filter(direction="outbound").count()


def test_the_same_request_gives_the_first_answer(agent: Api, open_conversation: Conversation) -> None:
    first = agent.send(body(open_conversation), key=KEY)
    Message.objects.update(status="delivered", direction="outbound")
    second = agent.send({**body(open_conversation), "new_field": 1}, key=KEY)
    assert (second.status_code, second.content) == (201, first.content)
    assert IdempotencyKey.objects.get().subject_id == first.json()["message"]["id"]


def test_the_same_key_with_another_body_is_refused(agent: Api, open_conversation: Conversation) -> None:
    agent.send(body(open_conversation), key=KEY)
    response = agent.send(body(open_conversation, "something else"), key=KEY)
    assert response.status_code == 409
    assert response.json() == {
        "detail": {
            "error": "idempotency_key_reused",
            "message": "This Idempotency-Key was already used for a different request; use a new key for a new"
            " request.",
        }
    }
    assert outbound() == 1


def test_every_key_is_a_message_of_its_own(agent: Api, open_conversation: Conversation) -> None:
    for key in ("a", "b", None, None):
        agent.send(body(open_conversation), key=key)
    assert outbound() == 4


def test_keys_belong_to_the_sending_identity(agent: Api, admin: Api, open_conversation: Conversation) -> None:
    other = make.make_conversation(make.make_identity(open_conversation.identity.organization))
    make.make_message(other)
    first = agent.send(body(open_conversation), key=KEY)
    assert admin.send(body(open_conversation), key=KEY).content == first.content
    assert admin.send(body(other), key=KEY).status_code == 201
    assert outbound() == 2


def test_a_refused_send_leaves_no_key(agent: Api, open_conversation: Conversation) -> None:
    rule = make.make_rule(open_conversation.identity)
    assert agent.send(body(open_conversation), key=KEY).status_code == 403
    assert not IdempotencyKey.objects.exists()
    rule.delete()
    assert agent.send(body(open_conversation), key=KEY).status_code == 201


def test_the_first_answer_is_given_even_when_a_new_send_would_be_refused(
    agent: Api, open_conversation: Conversation
) -> None:
    first = agent.send(body(open_conversation), key=KEY)
    make.make_rule(open_conversation.identity)
    assert agent.send(body(open_conversation), key=KEY).content == first.content


@pytest.mark.parametrize("key", ["", "   ", "x" * 256, "a\x7f", "\xe4"])
def test_a_bad_key_is_explained(agent: Api, open_conversation: Conversation, key: str) -> None:
    response = agent.send(body(open_conversation), key=key)
    assert response.status_code == 422
    assert response.json() == {
        "detail": [
            {
                "type": "bad_idempotency_key",
                "loc": ["header", "Idempotency-Key"],
                "msg": "An Idempotency-Key is 1 to 255 printable ASCII characters and not blank.",
                "input": None,
            }
        ]
    }


def test_keys_are_forgotten_after_a_day(agent: Api, open_conversation: Conversation) -> None:
    agent.send(body(open_conversation), key="old")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    agent.send(body(open_conversation), key="new")
    assert idempotency.forget_old_keys() == 1
    assert IdempotencyKey.objects.get().key == "new"


@pytest.mark.django_db(transaction=True)
def test_parallel_twins_make_one_message(agent: Api, open_conversation: Conversation) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _sent(agent, open_conversation), range(24)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert outbound() == 1


@pytest.mark.django_db(transaction=True)
def test_a_twin_that_takes_too_long_is_told_to_come_back(
    agent: Api, open_conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "TWIN_WAIT", timedelta(milliseconds=200))
    claimed, answered = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            IdempotencyKey.objects.create(
                scope=open_conversation.identity_id, operation="imessage.send", key=KEY, fingerprint=""
            )
            claimed.set()
            answered.wait(10)
            transaction.set_rollback(True)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    claimed.wait(10)
    response = agent.send(body(open_conversation), key=KEY)
    answered.set()
    holder.join()
    assert (response.status_code, response["Retry-After"]) == (409, "1")
    assert response.json()["detail"]["error"] == "idempotency_in_progress"
    assert agent.send(body(open_conversation), key=KEY).status_code == 201


def _sent(agent: Api, conversation: Conversation) -> object:
    try:
        return Api(agent.key).send(body(conversation), key=KEY)
    finally:
        connections.close_all()
