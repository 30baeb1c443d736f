"""Rehearsals: what a draft would change, counted by person, and that it is what happens when it is applied."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.models import Identity
from contactrules import rehearsal, rules
from contactrules.changes import ruleset_now
from contactrules.models import ContactRule, Decision, Rehearsal, RuleRevision
from contactrules.reach import Draft, Step
from contactrules.rehearsal import Bench, RehearsalClosed, apply_rehearsal, counts_of, discard, prepare, run
from core.actor import Role
from core.errors import Forbidden, Invalid
from events.models import Event
from tests import make

DAY = timedelta(days=1)


def nobody(identities: list[Identity]) -> Iterable[tuple[UUID, str]]:
    return []


def decide(identity: Identity, human: str, *, direction: str = "inbound", subject: str = "message") -> Decision:
    """A verdict given as the product gives it."""
    found = rules.connecting_verdict(identity, human) if subject == "connect" else None
    found = found or rules.verdict(identity, human, direction=direction)
    rules.note_decision(identity, human, found, direction=direction, subject=subject)
    return Decision.objects.latest("id")


def rehearse(identity: Identity, draft: Draft, *, live: Any = nobody, **fields: Any) -> Rehearsal:
    prepared = prepare(
        make.operator(),
        organization=identity.organization,
        identity=fields.pop("only", identity),
        draft=draft,
        since=timezone.now() - 30 * DAY,
    )
    return run(prepared, live=live)


def allow(*humans: str) -> Draft:
    return Draft(steps=tuple(Step("add", action="allow", target=human, direction="both") for human in humans))


@pytest.mark.django_db
def test_a_flip_to_the_whitelist_names_whom_it_would_cut_off(identity: Identity) -> None:
    make.make_rule(identity, make.OTHER_HUMAN, action="allow")
    for _ in range(3):
        decide(identity, make.HUMAN)
    decide(identity, make.HUMAN, direction="outbound")
    decide(identity, make.HUMAN, subject="connect")
    decide(identity, make.OTHER_HUMAN)
    live = [(identity.id, make.HUMAN), (identity.id, make.OTHER_HUMAN), (identity.id, "+15555550999")]
    done = rehearse(identity, Draft.of_mode("whitelist"), live=lambda identities: live)
    counts = counts_of(done)
    assert (counts.messages, counts.people) == (4, 2)
    assert (counts.messages_to_blocked, counts.people_to_blocked, counts.messages_to_delivered) == (3, 1, 0)
    assert (counts.sends_to_refused, counts.connects_to_refused) == (1, 1)
    assert (counts.live_threads, counts.threads_to_silent) == (3, 2)
    people = done.people.order_by("rank").values_list("human", "messages", "has_live_thread", "loses", "gains")
    assert list(people) == [(make.HUMAN, 3, True, True, False), ("+15555550999", 0, True, True, False)]
    assert done.is_done
    assert done.read == done.total == 6


@pytest.mark.django_db
def test_rules_are_judged_as_a_whole_and_not_one_by_one(identity: Identity) -> None:
    """A block rule on a whitelist changes nothing, however many messages name its number."""
    identity.imessage_filter_mode = "whitelist"
    identity.save()
    decide(identity, make.HUMAN)
    done = rehearse(identity, Draft(steps=(Step("add", action="block", target=make.HUMAN, direction="both"),)))
    assert counts_of(done).changes_nothing
    opened = rehearse(identity, allow(make.HUMAN))
    assert counts_of(opened).messages_to_delivered == 1


@pytest.mark.django_db
def test_a_send_that_was_declined_later_is_one_send(identity: Identity) -> None:
    accepted = decide(identity, make.HUMAN, direction="outbound")
    Decision.objects.filter(pk=accepted.pk).update(message_id=UUID(int=7))
    accepted.pk, accepted.allowed, accepted.message_id = None, False, UUID(int=7)
    accepted.save()
    done = rehearse(identity, Draft.of_mode("whitelist"))
    assert (counts_of(done).sends, done.read) == (1, 2)


@pytest.mark.django_db
def test_all_identities_are_rehearsed_each_by_its_own_rules(identity: Identity, charlies_identity: Identity) -> None:
    second = make.make_identity(identity.organization, "second", imessage_filter_mode="whitelist")
    for one in (identity, second, charlies_identity):
        decide(one, make.HUMAN)
    done = rehearse(identity, Draft.of_mode("whitelist"), only=None)
    assert (counts_of(done).messages, counts_of(done).messages_to_blocked) == (2, 1)
    assert set(done.revisions) == {str(identity.id), str(second.id)}


@pytest.mark.django_db
def test_the_period_and_what_history_covers_are_kept(identity: Identity) -> None:
    for age in (40, 10, 1):
        decision = decide(identity, make.HUMAN)
        Decision.objects.filter(pk=decision.pk).update(at=timezone.now() - age * DAY)
    done = rehearse(identity, Draft.of_mode("whitelist"))
    assert counts_of(done).messages == 2
    assert done.covered_from is not None
    assert done.covered_from < done.since


@pytest.mark.django_db
def test_applying_puts_the_whole_draft_in_force_and_links_each_revision(identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    old = rules.create_rule(admin, identity, action="block", match_target=make.OTHER_HUMAN)
    draft = Draft("whitelist", "whitelist", (*allow(make.HUMAN).steps, Step("delete", rule_id=old.id)))
    done = rehearse(identity, draft)
    apply_rehearsal(admin, done, reason="Only friends.")
    identity.refresh_from_db()
    assert (identity.imessage_filter_mode, identity.imessage_outbound_filter_mode) == ("whitelist", "")
    assert list(ContactRule.objects.values_list("action", "match_target")) == [("allow", make.HUMAN)]
    revisions = RuleRevision.objects.filter(rehearsal_id=done.id).order_by("number")
    assert list(revisions.values_list("change", "reason")) == [
        ("rule_created", "Only friends."),
        ("rule_deleted", "Only friends."),
        ("mode_changed", "Only friends."),
    ]
    assert Event.objects.filter(type="rehearsal.applied", subject_id=str(done.id)).exists()
    with pytest.raises(RehearsalClosed):
        apply_rehearsal(admin, done)


@pytest.mark.django_db
def test_what_was_rehearsed_on_other_rules_is_not_applied(identity: Identity) -> None:
    """Even the actor's own later change: what was shown would not be what is done."""
    admin = make.admin_of(identity.organization)
    done = rehearse(identity, Draft.of_mode("whitelist"))
    rules.create_rule(admin, identity, action="block", match_target=make.HUMAN)
    with pytest.raises(rules.ReachChanged):
        apply_rehearsal(admin, done)
    identity.refresh_from_db()
    assert identity.imessage_filter_mode == "blacklist"


@pytest.mark.django_db
def test_a_discarded_rehearsal_is_not_applied(identity: Identity) -> None:
    done = rehearse(identity, Draft.of_mode("whitelist"))
    discard(make.operator(), done)
    with pytest.raises(RehearsalClosed):
        apply_rehearsal(make.operator(), done)


@pytest.mark.django_db
def test_a_viewer_rehearses_nothing_and_an_agent_hears_of_none(identity: Identity) -> None:
    with pytest.raises(Forbidden):
        prepare(
            make.admin_of(identity.organization, role=Role.VIEWER),
            organization=identity.organization,
            identity=identity,
            draft=Draft.of_mode("whitelist"),
            since=timezone.now() - DAY,
        )
    done = rehearse(identity, Draft.of_mode("whitelist"))
    assert Rehearsal.objects.visible_to(make.admin_of(identity.organization)).get() == done
    assert not Rehearsal.objects.visible_to(make.agent_of(identity)).exists()
    assert not Rehearsal.objects.visible_to(make.admin_of(make.make_organization())).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("draft", [Draft(), Draft(steps=(Step("delete", rule_id=UUID(int=3)),))])
def test_a_draft_that_cannot_be_rehearsed_for_all_is_refused(draft: Draft, identity: Identity) -> None:
    with pytest.raises(Invalid):
        rehearse(identity, draft, only=None)


HUMANS = [f"+1555555010{digit}" for digit in range(5)]
_humans = st.sampled_from(HUMANS)
_modes = st.sampled_from(["blacklist", "whitelist"])
_sides = st.sampled_from(["inbound", "outbound", "both"])
_changes = st.one_of(
    st.tuples(st.just("add"), _humans, st.sampled_from(["allow", "block"]), _sides),
    st.tuples(st.sampled_from(["pause", "resume", "delete", "change"]), st.integers(0, 9), st.just("block"), _sides),
    st.tuples(st.just("mode"), _modes, st.just(""), _sides),
)
_decisions = st.lists(
    st.one_of(
        st.tuples(_humans, st.just("inbound"), st.sampled_from(["message", "tapback", "connect"])),
        st.tuples(_humans, st.just("outbound"), st.just("message")),
    ),
    max_size=25,
)


class RehearsalEqualsReality(TestCase):
    """Acceptance 7: apply the change to a copy, feed it the same history, compare verdict by verdict."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(_changes, max_size=12), _decisions, st.lists(_changes, min_size=1, max_size=6))
    def test_rehearsal_equals_reality(self, past: Any, history: Any, wished: Any) -> None:
        """Acceptance 7, with random rules, modes, decisions and drafts."""
        identity = make.make_identity(handle="rehearsed")
        for change in past:
            _really(identity, change)
        draft = _draft(identity, wished)
        if draft.is_empty:
            return
        decided = [decide(identity, human, direction=way, subject=subject) for human, way, subject in history]
        live = [(identity.id, human) for human in HUMANS[:3]]
        done = rehearse(identity, draft, live=lambda identities: live)
        _, ruleset = ruleset_now(identity)
        bench = Bench(ruleset.judge(), draft.applied(ruleset).judge())

        changed = dict.fromkeys(("messages", "tapbacks", "connects", "sends"), 0)
        open_before = [rules.connecting_verdict(identity, human).allowed for _, human in live]
        apply_rehearsal(make.operator(), done)
        identity.refresh_from_db()
        for before in decided:
            after = decide(identity, before.human, direction=before.direction, subject=before.subject)
            said = bench.change(before.human, direction=before.direction, subject=before.subject)
            assert said == after.allowed - before.allowed
            changed[rehearsal._NOUNS[before.direction, before.subject]] += said != 0
        open_after = [rules.connecting_verdict(identity, human).allowed for _, human in live]

        counts = counts_of(done)
        assert changed["messages"] == counts.messages_to_blocked + counts.messages_to_delivered
        assert changed["tapbacks"] == counts.tapbacks_to_blocked + counts.tapbacks_to_delivered
        assert changed["connects"] == counts.connects_to_refused + counts.connects_to_allowed
        assert changed["sends"] == counts.sends_to_refused + counts.sends_to_allowed
        pairs = list(zip(open_before, open_after, strict=True))
        assert counts.threads_to_silent == pairs.count((True, False))
        assert counts.threads_to_open == pairs.count((False, True))


def _rule(identity: Identity, place: int) -> ContactRule | None:
    found = list(ContactRule.objects.filter(identity=identity).order_by("id").select_related("identity"))
    return found[place % len(found)] if found else None


def _really(identity: Identity, change: Any) -> None:
    do, what, action, side = change
    identity.refresh_from_db()
    try:
        if do == "add":
            rules.create_rule(make.operator(), identity, action=action, match_target=what, direction=side)
        elif do == "mode":
            rules.set_filter_mode(make.operator(), identity, mode=what, direction=side)
        elif rule := _rule(identity, what):
            if do == "delete":
                rules.delete_rule(make.operator(), rule)
            else:
                words = {"status": "paused" if do == "pause" else "active"}
                words = {"action": action, "direction": side} if do == "change" else words
                rules.update_rule(make.operator(), rule, changes=words)
    except rules.DuplicateRule:
        pass
    identity.refresh_from_db()


def _draft(identity: Identity, wished: Any) -> Draft:
    steps, modes = [], {"inbound": "", "outbound": ""}
    for do, what, action, side in wished:
        if do == "mode":
            modes |= {way: what for way in modes if side in {way, "both"}}
        elif do == "add":
            steps.append(Step("add", action=action, target=what, direction=side))
        elif rule := _rule(identity, what):
            more = {"action": action, "direction": side} if do == "change" else {}
            steps.append(Step(do, rule_id=rule.id, **more))
    return Draft(modes["inbound"], modes["outbound"], tuple(steps))
