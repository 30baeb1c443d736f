"""Shadows: a second verdict beside the real one, which stays as it is, until the time is over."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from contactrules import rules, shadow
from contactrules.models import Decision, RuleRevision, Shadow, ShadowVerdict
from contactrules.reach import Draft
from core.actor import Role
from core.errors import Forbidden
from events.models import Event
from tests import make
from tests.contactrules.test_rehearsal import decide

pytestmark = pytest.mark.django_db

WEEK = timedelta(days=7)
FLIP = Draft.of_mode("whitelist")


def start(identity: Identity, draft: Draft = FLIP, **fields: Any) -> Shadow:
    return shadow.start_shadow(make.operator(), identity, draft=draft, lasting=WEEK, **fields)


def live_through(identity: Identity) -> list[tuple[Any, ...]]:
    """A few days of an identity: texts, sends, a rule, a flip and its way back; the verdicts that were given."""
    admin = make.admin_of(identity.organization)
    for human in (make.HUMAN, make.OTHER_HUMAN):
        decide(identity, human)
        decide(identity, human, direction="outbound")
    rules.create_rule(admin, identity, action="block", match_target=make.HUMAN)
    identity.refresh_from_db()
    decide(identity, make.HUMAN)
    rules.set_filter_mode(admin, identity, mode="whitelist")
    identity.refresh_from_db()
    decide(identity, make.OTHER_HUMAN, subject="connect")
    given = Decision.objects.filter(identity_id=identity.id).order_by("id")
    return list(given.values_list("human", "direction", "subject", "allowed", "mode", "revision"))


def test_a_shadow_changes_no_verdict(identity: Identity) -> None:
    """Acceptance 8: the same days with and without a shadow give the same verdicts."""
    watched = make.make_identity(identity.organization, "watched")
    start(watched)
    plain = live_through(identity)
    shadow.judge_running()
    assert live_through(watched) == plain
    shadow.judge_running()
    given = Decision.objects.filter(identity_id=watched.id).order_by("id")
    assert list(given.values_list("human", "direction", "subject", "allowed", "mode", "revision")) == plain


def test_every_decision_gets_its_second_verdict_once_by_the_rules_of_its_time(identity: Identity) -> None:
    running = start(identity)
    decide(identity, make.HUMAN)
    rules.create_rule(make.operator(), identity, action="allow", match_target=make.HUMAN)
    identity.refresh_from_db()
    decide(identity, make.HUMAN)
    assert [shadow.judge_new(running), shadow.judge_new(running)] == [2, 0]
    verdicts = ShadowVerdict.objects.order_by("decision_id").values_list("allowed", "would_allow")
    assert list(verdicts) == [(True, False), (True, True)]


def test_what_was_decided_before_its_start_is_not_judged(identity: Identity) -> None:
    decide(identity, make.HUMAN)
    assert shadow.judge_new(start(identity)) == 0


def test_it_ends_on_time_with_an_event(identity: Identity) -> None:
    """Acceptance 8: a shadow ends by itself, and what came after its end is not judged."""
    running = start(identity)
    inside = decide(identity, make.HUMAN)
    assert shadow.end_due() == 0
    Shadow.objects.update(ends_at=timezone.now())
    decide(identity, make.OTHER_HUMAN)
    assert (shadow.end_due(), shadow.end_due()) == (1, 0)
    running.refresh_from_db()
    assert running.state == Shadow.State.ENDED
    assert list(ShadowVerdict.objects.values_list("decision_id", flat=True)) == [inside.id]
    assert Event.objects.get(type="shadow.ended").data["differing"] == 1


def test_an_identity_has_one_shadow_at_a_time(identity: Identity) -> None:
    running = start(identity)
    with pytest.raises(shadow.ShadowRuns):
        start(identity)
    shadow.stop_shadow(make.operator(), running)
    start(identity)


def test_promoting_puts_the_draft_in_force(identity: Identity) -> None:
    running = start(identity)
    shadow.promote_shadow(make.operator(), running, reason="Nobody new for a week.")
    identity.refresh_from_db()
    assert identity.imessage_filter_mode == identity.outbound_filter_mode == "whitelist"
    assert RuleRevision.objects.latest("id").reason == "Nobody new for a week."
    with pytest.raises(shadow.ShadowOver):
        shadow.promote_shadow(make.operator(), running)


def test_promoting_is_refused_when_somebody_changed_the_rules_meanwhile(identity: Identity) -> None:
    running = start(identity)
    rules.create_rule(make.admin_of(identity.organization), identity, action="block", match_target=make.HUMAN)
    with pytest.raises(rules.ReachChanged):
        shadow.promote_shadow(make.operator(), running, seen=0)
    running.refresh_from_db()
    assert running.is_running


def test_who_differs_is_settled_by_an_allow_rule(identity: Identity) -> None:
    running = start(identity)
    decide(identity, make.HUMAN)
    decide(identity, make.HUMAN)
    decide(identity, make.OTHER_HUMAN)
    shadow.judge_new(running)
    rules.create_rule(make.operator(), identity, action="allow", match_target=make.HUMAN)
    found = shadow.people(make.operator(), running)
    assert [(one.human, one.count, one.would_allow, one.is_settled) for one in found] == [
        (make.HUMAN, 2, False, True),
        (make.OTHER_HUMAN, 1, False, False),
    ]
    assert [(day.blocked, day.allowed) for day in shadow.by_day(make.operator(), running)] == [(3, 0)]


def test_only_admins_of_the_organization_have_shadows(identity: Identity) -> None:
    viewer = make.admin_of(identity.organization, role=Role.VIEWER)
    with pytest.raises(Forbidden):
        shadow.start_shadow(viewer, identity, draft=FLIP, lasting=WEEK)
    start(identity)
    assert not Shadow.objects.visible_to(make.agent_of(identity)).exists()
    assert not Shadow.objects.visible_to(make.admin_of(make.make_organization())).exists()


def test_open_pages_hear_of_a_verdict_that_differs(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []
    monkeypatch.setattr(shadow, "publish_topics", lambda organization_id, topics: told.append(topics))
    running = start(identity)
    make.make_rule(identity, make.OTHER_HUMAN, action="allow")
    decide(identity, make.OTHER_HUMAN)
    shadow.judge_new(running)
    assert told == []
    decide(identity, make.HUMAN)
    shadow.judge_new(running)
    assert told == [[f"shadow:{running.id}", f"shadowed:{identity.id}"]]
