"""The group that an incident joins: the search finds the one that a comparison with all finds."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from monitor.domain import ALL, Incident, NoticeStatus, Subject
from monitor.incidents.group_search import GroupSearch
from monitor.incidents.incident_groups import IncidentGroup, incident_groups
from monitor.incidents.inhibitions import Inhibitions, TargetPlace
from monitor.rules import DEFAULT_RULES, RULES
from tests.probe_notation import NOON
from tests.unit.test_shared_faults import FAILED, REFUSED

MINUTE = timedelta(minutes=1)
TARGETS = [f"t{n}" for n in range(6)]
PLACES = {
    name: TargetPlace(f"host {n % 3}", frozenset({"ops" if n % 4 else "team"}))
    for n, name in enumerate(TARGETS)
}


def everything(
    incidents: Mapping[tuple[str, str], Incident],
    one: Incident,
    inhibitions: Inhibitions,
    *,
    stale: Collection[tuple[str, str]],
    muted: Collection[str],
) -> IncidentGroup | None:
    """The definition: each group and each member is compared."""
    number, causes = one.announced_as or one.number, inhibitions.causes

    def joins(group: IncidentGroup) -> bool:
        if number is not None and number == group.number:
            return True
        face = group.headline
        if face.in_breach and face.key not in stale and inhibitions.shares_fault(face, one):
            return True
        return any(
            member.open and member.key not in stale
            and (causes(member, one) or (causes(one, member) and not inhibitions.passing(member)))
            for member in group.members
        )  # fmt: skip

    groups = [g for g in incident_groups(incidents, inhibitions) if g.primary.scope not in muted]
    return min(filter(joins, groups), key=lambda g: g.primary.opened_at, default=None)


def drawn(random: Random, number: int) -> Incident:
    rule = random.choice(["down", "down", "down", "ttft", "fallback", "spend", "key", "no_data",
                          "model_changed", "cost_drift"])  # fmt: skip
    scope = random.choice(TARGETS)
    if rule in RULES and RULES[rule].subject is not Subject.TARGET:
        scope = ALL if RULES[rule].subject is Subject.DAY else "openrouter"
    at = NOON + random.randrange(40) * MINUTE
    return Incident(
        rule=rule, scope=scope, number=number, opened_at=at, last_breach_at=at, since=at,
        last_told_at=at, resolved_at=at + MINUTE if random.random() < 0.2 else None,
        recovering_since=at if random.random() < 0.2 else None,
        told=random.choice([NoticeStatus.FIRING, None]),
        announced_as=random.choice([None, None, None, 1, 2]),
        finding=random.choice([REFUSED, REFUSED, FAILED]),
        value=random.choice([None, 5.0]), limit=5.0, because="It is so.",
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_the_search_finds_what_a_comparison_with_all_finds(seed: int) -> None:
    random = Random(seed)
    inhibitions = Inhibitions(DEFAULT_RULES, place_of=PLACES.get)
    incidents: dict[tuple[str, str], Incident] = {}
    for number in range(1, 40):
        one = drawn(random, number)
        if one.key in incidents:
            continue
        leaders = [i for i in incidents.values() if i.part_of is None]
        if leaders and one.told is NoticeStatus.FIRING and random.random() < 0.4:
            one = replace(one, part_of=random.choice(leaders).key)
        incidents[one.key] = one
    muted = random.sample(TARGETS, random.choice([0, 0, 1]))
    stale = set(random.sample(sorted(incidents), 1))
    search = GroupSearch(
        incidents, inhibitions, may_notify=lambda one: one.scope not in muted, stale=stale
    )
    compared = 0
    for one in [i for i in incidents.values() if i.told is not NoticeStatus.FIRING]:
        if not one.in_breach or one.scope in muted:
            continue
        found = search.group_of(one)
        expected = everything(incidents, one, inhibitions, stale=stale, muted=muted)
        assert (found and found.primary.key) == (expected and expected.primary.key)
        compared += 1
        reported = replace(one, told=NoticeStatus.FIRING, part_of=None)
        if found is not None:
            number_ = expected.number if expected else None
            reported = replace(reported, part_of=found.primary.key, announced_as=number_)
        incidents[one.key] = reported
        search.add(reported)
    assert compared
