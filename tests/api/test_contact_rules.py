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


def test_a_number_may_have_a_rule_for_each_direction(admin: Api, identity: Identity) -> None:
    for direction, action in (("inbound", "allow"), ("outbound", "block")):
        body = {"action": action, "match_target": make.HUMAN, "direction": direction}
        assert admin.post(PATH, body).json()["direction"] == direction
    both = admin.post(PATH, {"action": "block", "match_target": make.HUMAN})
    assert both.status_code == 409
    assert [row["direction"] for row in admin.get(PATH, direction="inbound").json()] == ["inbound"]
    assert admin.get(PATH, direction="both").json() == []


def test_one_direction_finds_rules_for_both(admin: Api, identity: Identity) -> None:
    rule = make.make_rule(identity)
    for direction in ("inbound", "outbound", "both"):
        assert admin.get(PATH, direction=direction).json() == [shown(rule)]


@pytest.mark.parametrize(
    "changes",
    [{"action": "allow"}, {"status": "paused"}, {"action": "allow", "status": "paused"}, {"direction": "inbound"}],
)
def test_update_changes_what_is_given(admin: Api, identity: Identity, changes: dict[str, str]) -> None:
    rule = make.make_rule(identity)
    response = admin.patch(f"{PATH}/{rule.id}", changes)
    changed = ContactRule.objects.get()
    assert response.json() == shown(changed)
    assert {name: getattr(changed, name) for name in changes} == changes
    assert changed.id == rule.id


def test_update_of_one_side_splits_a_rule_for_both(admin: Api, identity: Identity) -> None:
    rule = make.make_rule(identity)
    changed = admin.patch(f"{PATH}/{rule.id}", {"action": "allow", "apply_to": "inbound"}).json()
    assert (changed["id"], changed["action"], changed["direction"]) == (str(rule.id), "allow", "inbound")
    other = next(row for row in admin.get(PATH).json() if row["id"] != str(rule.id))
    assert (other["action"], other["direction"], other["match_target"]) == ("block", "outbound", make.HUMAN)


def test_update_of_a_side_that_is_not_covered_is_refused(admin: Api, identity: Identity) -> None:
    rule = make.make_rule(identity, direction="inbound")
    assert admin.patch(f"{PATH}/{rule.id}", {"action": "allow", "apply_to": "outbound"}).status_code == 409


def test_update_to_a_direction_that_is_taken_is_refused(admin: Api, identity: Identity) -> None:
    inbound, outbound = (make.make_rule(identity, direction=side) for side in ("inbound", "outbound"))
    response = admin.patch(f"{PATH}/{inbound.id}", {"direction": "both"})
    assert (response.status_code, response.json()["detail"]["existing_rule_id"]) == (409, str(outbound.id))


@pytest.mark.parametrize(
    "changes",
    [{}, {"action": "no"}, {"apply_to": "inbound"}, {"action": "allow", "apply_to": "inbound", "direction": "both"}],
)
def test_update_with_nothing_or_nonsense_is_refused(admin: Api, identity: Identity, changes: dict[str, str]) -> None:
    rule = make.make_rule(identity)
    assert admin.patch(f"{PATH}/{rule.id}", changes).status_code == 422


def test_update_needs_an_admin_key(agent: Api, identity: Identity) -> None:
    rule = make.make_rule(identity)
    assert agent.patch(f"{PATH}/{rule.id}", {"action": "allow"}).status_code == 403


def test_the_organizations_rules_are_listed_for_admins(
    admin: Api, agent: Api, identity: Identity, colleague: Identity, charlies_identity: Identity
) -> None:
    own, other = make.make_rule(identity), make.make_rule(colleague)
    make.make_rule(charlies_identity)
    assert admin.get("/imessage/contact-rules").json() == [shown(other), shown(own)]
    assert admin.get("/imessage/contact-rules", agent_identity_id=str(identity.id)).json() == [shown(own)]
    assert admin.get("/imessage/contact-rules", agent_identity_id=str(charlies_identity.id)).status_code == 404
    assert agent.get("/imessage/contact-rules").status_code == 403
