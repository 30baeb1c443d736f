"""The signature check for developers: it names the key, and never tells it."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.actor import Role
from core.errors import Forbidden, Invalid
from dialects import inkbox
from tests import make
from webhooks.checking import check_signature
from webhooks.models import SigningKey
from webhooks.signing import end_overlap, known_keys, rotate_key, rotate_key_at_once, standard_headers

pytestmark = pytest.mark.django_db

BODY = '{"id":"evt_1","text":"Grüße"}'


def received(*keys: str, at: int | None = None) -> str:
    """Headers as an endpoint got them."""
    timestamp, body = at or int(time.time()), BODY.encode()
    headers = standard_headers(list(keys), event_id="evt_1", timestamp=timestamp, body=body)
    headers |= inkbox.webhook_headers(keys[0], request_id="r-1", timestamp=timestamp, body=body)
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def test_both_signatures_are_found_to_be_of_the_present_key(identity: Identity) -> None:
    agent = make.agent_of(identity)
    _, key = rotate_key(agent, identity)
    found = check_signature(agent, identity, headers=received(key), body=BODY)
    assert [(verdict.header, verdict.matches) for verdict in found] == [
        ("webhook-signature", True),
        ("X-Inkbox-Signature", True),
    ]
    (known,) = known_keys(identity)
    assert {verdict.key for verdict in found} == {known}
    assert found[0].parts == [
        ("webhook-id", "evt_1"),
        ("webhook-timestamp", dict(found[0].parts)["webhook-timestamp"]),
        ("body", f"{len(BODY.encode())} bytes"),
    ]
    assert key.removeprefix("whsec_") not in repr(found)


def test_the_former_key_is_named_as_such_while_it_signs(identity: Identity) -> None:
    agent = make.agent_of(identity)
    _, former = rotate_key(agent, identity)
    rotate_key(agent, identity)
    verdict = check_signature(agent, identity, headers=received(former), body=BODY)[0]
    assert verdict.key
    assert verdict.key.signs_until
    assert verdict.key.signs_until - timezone.now() > timedelta(hours=23)


@pytest.mark.parametrize(
    "pasted", [BODY, BODY + "\r\n", f"\n{BODY}"], ids=["as it came", "a line end more", "a line before"]
)
def test_what_a_form_does_to_a_body_does_not_matter(identity: Identity, pasted: str) -> None:
    agent = make.agent_of(identity)
    _, key = rotate_key(agent, identity)
    assert check_signature(agent, identity, headers=received(key), body=pasted)[0].matches


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ("", BODY.replace(":", ": "), "None of the present keys"),
        ("webhook-id:", BODY, "Paste the header webhook-id too"),
    ],
)
def test_it_says_why_none_matches(identity: Identity, headers: str, body: str, words: str) -> None:
    agent = make.agent_of(identity)
    _, key = rotate_key(agent, identity)
    given = received(key)
    if headers:
        given = "\n".join(line for line in given.splitlines() if not line.startswith(headers))
    verdict = check_signature(agent, identity, headers=given, body=body)[0]
    assert not verdict.matches
    assert verdict.words.startswith(words)


def test_an_old_signature_matches_and_is_said_to_be_old(identity: Identity) -> None:
    agent = make.agent_of(identity)
    _, key = rotate_key(agent, identity)
    verdict = check_signature(agent, identity, headers=received(key, at=1_700_000_000), body=BODY)[0]
    assert verdict.matches
    assert "five minutes" in verdict.words


@pytest.mark.parametrize("headers", ["", "Content-Type: text/plain", "webhook-id\nnonsense", "x" * 20_000])
def test_without_a_signature_header_there_is_nothing_to_check(identity: Identity, headers: str) -> None:
    with pytest.raises(Invalid):
        check_signature(make.agent_of(identity), identity, headers=headers, body=BODY)


def test_viewers_may_not_ask(identity: Identity) -> None:
    with pytest.raises(Forbidden):
        check_signature(
            make.admin_of(identity.organization, role=Role.VIEWER), identity, headers=received("whsec_YQ=="), body=BODY
        )


def test_a_key_that_others_have_seen_stops_at_once(identity: Identity) -> None:
    agent = make.agent_of(identity)
    _, seen = rotate_key(agent, identity)
    _, new = rotate_key_at_once(agent, identity, reason="It was in a screenshot.")
    assert not check_signature(agent, identity, headers=received(seen), body=BODY)[0].matches
    assert check_signature(agent, identity, headers=received(new), body=BODY)[0].matches
    assert SigningKey.objects.count() == 1


def test_an_overlap_can_be_ended_early(identity: Identity) -> None:
    agent = make.agent_of(identity)
    rotate_key(agent, identity)
    rotate_key(agent, identity)
    assert len(known_keys(identity)) == 2
    assert end_overlap(agent, identity)
    assert len(known_keys(identity)) == 1
    assert not end_overlap(agent, identity)
