from typing import Any

import pytest

from accounts.models import Identity
from contactrules.models import ContactRule
from imessage.shapes import iso
from tests import make
from tests.api.conftest import Api

PATH = "/imessage/identities/helper/contact-rules"


def shown(rule: ContactRule) -> dict[str, Any]:
    return {
        "id": str(rule.id),
        "agent_identity_id": str(rule.identity_id),
        "action": rule.action,
        "match_type": "exact_number",
        "match_target": rule.match_target,
        "status": rule.status,
        "direction": rule.direction,
        "created_at": iso(rule.created_at),
        "updated_at": iso(rule.updated_at),
    }


@pytest.mark.parametrize("who", ["admin", "agent"])
@pytest.mark.parametrize("handle", ["helper", "@helper"])
def test_create_works(admin: Api, agent: Api, identity: Identity, who: str, handle: str) -> None:
    body = {"action": "block", "match_target": make.HUMAN, "match_type": "exact_number", "direction": "both"}
    response = {"admin": admin, "agent": agent}[who].post(PATH.replace("helper", handle), body)
    assert response.status_code == 201
    assert response.json() == shown(ContactRule.objects.get())


def test_create_refuses_a_second_rule_for_a_number(admin: Api, identity: Identity) -> None:
    rule = make.make_rule(identity, status="paused")
    response = admin.post(PATH, {"action": "allow", "match_target": make.HUMAN})
    assert response.status_code == 409
    assert response.json() == {
        "detail": {
            "existing_rule_id": str(rule.id),
            "message": f"A rule for {make.HUMAN} already exists on @helper; change or delete that one.",
        }
    }


def test_list_is_newest_first_with_paused_ones(agent: Api, identity: Identity) -> None:
    block = make.make_rule(identity)
    allow = make.make_rule(identity, make.OTHER_HUMAN, "allow", status="paused")
    assert agent.get(PATH).json() == [shown(allow), shown(block)]
    assert agent.get(PATH, action="block", match_type="exact_number").json() == [shown(block)]
    assert agent.get(PATH, limit=1, offset=1).json() == [shown(block)]


def test_get_works(agent: Api, identity: Identity) -> None:
    rule = make.make_rule(identity)
    assert agent.get(f"{PATH}/{rule.id}").json() == shown(rule)


def test_get_of_a_colleagues_or_strangers_rule_is_not_found(
    admin: Api, identity: Identity, colleague: Identity, charlies_identity: Identity
) -> None:
    ids = [make.make_rule(colleague).id, make.make_rule(charlies_identity).id, colleague.id, "nonsense"]
    assert {admin.get(f"{PATH}/{rule_id}").content for rule_id in ids} == {b'{"detail":"Not found."}'}


def test_delete_needs_an_admin_key(admin: Api, agent: Api, identity: Identity) -> None:
    rule = make.make_rule(identity)
    assert agent.delete(f"{PATH}/{rule.id}").status_code == 403
    response = admin.delete(f"{PATH}/{rule.id}")
    assert (response.status_code, response.content) == (204, b"")
    assert admin.delete(f"{PATH}/{rule.id}").status_code == 404


def test_a_bound_key_may_name_no_other_handle(agent: Api, colleague: Identity, charlies_identity: Identity) -> None:
    for handle in (colleague.handle, charlies_identity.handle, "nobody"):
        path = PATH.replace("helper", handle)
        assert agent.get(path).status_code == 403
        assert agent.post(path, {"action": "block", "match_target": make.HUMAN}).status_code == 403
    assert not ContactRule.objects.exists()


def test_a_strangers_handle_is_not_found(stranger: Api, identity: Identity) -> None:
    unknown = stranger.get(PATH.replace("helper", "nobody"))
    assert unknown.status_code == 404
    assert stranger.get(PATH).content == unknown.content
    assert stranger.post(PATH, {"action": "block", "match_target": make.HUMAN}).content == unknown.content
