"""Signs of a cause on the health pages of a service."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from monitor.domain import Verdict
from monitor.redaction import plain
from monitor.rules.cause_kinds import DEPLOYED, CauseKind
from monitor.rules.cause_sources import CauseSign, CauseSources, PageChange, clock

PAGE_LATE = timedelta(minutes=5)  # how late a change on a page that is read closely is seen
ALTERNATING = 3  # changes between the same two states of a page, within the time that counts
_CHARS, _FACTS = 40, 2  # of a foreign name; facts of a change


def page_signs(_: Verdict, sources: CauseSources) -> Iterator[CauseSign]:
    """Changes on the service's own health pages, the latest first.

    A page that shows two states in turn comes from instances of two versions: no single change.
    """
    seen = Counter(_states(change) for change in sources.pages)
    for change in reversed(sources.pages):
        if seen[_states(change)] >= ALTERNATING:
            continue
        for what, deployed in _page_change(change):
            closely_read = change.at - change.before_at <= 3 * PAGE_LATE
            yield CauseSign(
                CauseKind.DEPLOYMENT if deployed else CauseKind.UNATTRIBUTED,
                change.at,
                f"{what}, {clock(change.at)}",
                before_at=change.before_at,
                late=PAGE_LATE if closely_read else timedelta(0),
            )


def _states(change: PageChange) -> frozenset[str]:
    """What a page stated before and after a change, in any order."""
    states = ((change.status, change.facts), (change.status_before, change.facts_before))
    return frozenset(f"{status} {sorted(facts.items())}" for status, facts in states)


def _page_change(change: PageChange) -> Iterator[tuple[str, bool]]:
    """What a page says now, against before, the first differences of many; is it a deployment?"""
    if change.status != change.status_before:
        now, before = _or_nothing(change.status), _or_nothing(change.status_before)
        yield f"its health page returned {now}, before {before}", False
        return
    names = [n for n, value in change.facts.items() if change.facts_before.get(n) != value]
    names.sort(key=lambda name: (not DEPLOYED.search(name), name))
    if not names:
        return
    reported = ", ".join(
        f"{plain(name, _CHARS)} {_or_nothing(change.facts[name])}, "
        f"before {_or_nothing(change.facts_before.get(name))}"
        for name in names[:_FACTS]
    )
    more = f" and {len(names) - _FACTS} more" if len(names) > _FACTS else ""
    deployed = DEPLOYED.search(names[0]) is not None
    like = ", as after a deployment" if deployed else ""
    yield f"its health page changed{like}: {reported}{more}", deployed


def _or_nothing(value: object) -> str:
    return "nothing" if value is None else plain(str(value), _CHARS)
