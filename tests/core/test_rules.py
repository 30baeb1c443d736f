"""Ids, secrets, texts and numbers: rules on plain values."""

import time
from uuid import UUID, uuid4

import pytest

from core import ids, phones, secrets, texts
from core.actor import Actor, Role
from core.errors import Forbidden, Invalid


@pytest.mark.parametrize(
    "text", ["+15555550123", "+442071838750", "+491711234567", "+861012345678", "+3726009999", "+12125550100"]
)
def test_possible_numbers_are_taken_as_they_are(text: str) -> None:
    assert phones.e164(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "15555550123",
        "+05555550123",
        "+1555555012",
        "+155555501234567",
        "+1 555 555 0123",
        "+1-555-555-0123",
        "tel:+15555550123",
        "+15555550123\n",
        " +15555550123",
        "+1555555012\u0663",
        "+１５５５５５５０１２３",
        "+15555550123;ext=1",
        "+999999999999999",
        "someone@example.com",
    ],
)
def test_everything_else_is_not_a_number(text: str) -> None:
    with pytest.raises(phones.NotE164):
        phones.e164(text)


def test_numbers_are_shown_as_people_write_them() -> None:
    assert phones.pretty("+15555550123") == "+1 555-555-0123"
    assert phones.pretty("someone@example.com") == "someone@example.com"


def test_ids_sort_by_their_time_and_are_version_7() -> None:
    first = ids.uuid7()
    time.sleep(0.002)
    second = ids.uuid7()
    assert first < second
    assert (first.version, first.variant) == (7, uuid4().variant)


def test_a_prefixed_id_reads_back() -> None:
    key = ids.uuid7()
    text = ids.prefixed("org", key)
    assert len(text) == 30
    assert ids.from_prefixed("org", text) == key


@pytest.mark.parametrize(
    "text", ["", "org_", "org", "key_" + "a" * 26, "org_" + "a" * 25, "org_" + "1" * 26, "org_" + "é" * 26]
)
def test_other_texts_are_no_prefixed_ids(text: str) -> None:
    assert ids.from_prefixed("org", text) is None


def test_only_the_secret_itself_matches_its_digest() -> None:
    digest = secrets.digest("secret")
    assert secrets.matches("secret", digest)
    assert not secrets.matches("Secret", digest)
    assert not secrets.matches("", digest)
    assert "secret" not in digest


def test_a_former_key_still_recognises_its_secrets(settings: object) -> None:
    digest = secrets.digest("secret")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]  # type: ignore[attr-defined]
    settings.SECRET_KEY = "another key"  # type: ignore[attr-defined]
    assert secrets.matches("secret", digest)


def test_a_sealed_secret_opens_again_and_never_looks_the_same() -> None:
    assert secrets.unseal(secrets.seal("token")) == "token"
    assert secrets.seal("token") != secrets.seal("token")


def test_tokens_are_long_and_different() -> None:
    tokens = {secrets.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43


@pytest.mark.parametrize("text", ["", "hi", "e\u0301", "\U0001f600", "a\u202eb", "\ufffd"])
def test_texts_of_real_characters_are_kept(text: str) -> None:
    assert texts.storable(text) == text
    assert texts.cleaned(text) == text


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x\udfffy"])
def test_texts_that_cannot_be_stored_are_refused_from_agents_and_mended_from_phones(text: str) -> None:
    with pytest.raises(Invalid):
        texts.storable(text)
    mended = texts.cleaned(text)
    assert texts.storable(mended) == mended


ROLES = [Role.AGENT, Role.VIEWER, Role.ADMIN, Role.OPERATOR]


@pytest.mark.parametrize("needed", ROLES)
@pytest.mark.parametrize("held", ROLES)
def test_a_role_allows_what_is_asked_of_it_and_of_weaker_ones(held: Role, needed: Role) -> None:
    actor = Actor(role=held, kind="user", id="x", label="x", organization_id=UUID(int=1))
    if ROLES.index(held) >= ROLES.index(needed):
        actor.require(needed)
    else:
        with pytest.raises(Forbidden):
            actor.require(needed)
