"""Likely causes of scripted incidents with random times, order, gaps and contradictions.

`python -m benchmarks.likely_causes [--runs N] [--seed N]`: each run has one true cause of ten, or
none that can be known. Its sources say so at random times; some sources are missing, some say
something old, later or contradictory about another cause. Counted: right, cannot tell, wrong.
"""

import argparse
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from monitor.domain import AccountReading, AccountState, Outcome, ProviderAttempt
from monitor.rules import DownRule, FallbackRule
from monitor.rules.cause_kinds import PROVIDERS, CauseKind
from monitor.rules.cause_sources import (
    AnswerRoute,
    CauseSources,
    HostStatistics,
    ListedModel,
    ModelStatistics,
    PageChange,
)
from monitor.rules.likely_cause import likely_cause
from tests.probe_notation import LLAMA, NOON, after, marked, window

BEGUN = NOON + timedelta(minutes=20, seconds=1)
ERRORS = {
    CauseKind.KEY: "Error code: 401 - {'error': {'type': 'authentication_error'}}",
    CauseKind.CREDIT: "402: Insufficient credits",
    CauseKind.PROVIDER_ERRORS: "502: Provider returned error",
    CauseKind.PROVIDER_LIMIT: "Error code: 529 - {'error': {'type': 'overloaded_error'}}",
}
STATUSES = {
    CauseKind.KEY: (401,),
    CauseKind.CREDIT: (402,),
    CauseKind.PROVIDER_ERRORS: (500, 502, 503, 504),
    CauseKind.PROVIDER_LIMIT: (429, 529),
}
EVENTS = (CauseKind.DEPLOYMENT, CauseKind.CONFIGURATION, CauseKind.KEY, CauseKind.CREDIT)
CAUSES = (
    *STATUSES,
    CauseKind.MODEL_REMOVED,
    CauseKind.DEPLOYMENT,
    CauseKind.GATEWAY,
    CauseKind.CONFIGURATION,
    CauseKind.PROBES_LIMITED,
    CauseKind.CERTIFICATE,
    None,
)


def at(minutes: float) -> datetime:
    return BEGUN + timedelta(minutes=minutes)


def event(kind: CauseKind, minutes: float, chance: random.Random) -> Mapping[str, list[Any]]:
    """What shows that something changed then: about five minutes later, where it is read."""
    seen = minutes + chance.uniform(0, 4.9)
    match kind:
        case CauseKind.DEPLOYMENT:
            facts = ({"version": "5.3"}, {"version": "5.2"})
            change = PageChange(at(seen), at(seen - 5), 200, facts[0], 200, facts[1])
            return {"pages": [change]}
        case CauseKind.CONFIGURATION:
            return {"configurations": [at(minutes)]}
        case CauseKind.MODEL_REMOVED:
            read = max(seen, chance.uniform(1, 20))
            before = ListedModel(at(-2000), at(minutes - chance.uniform(1, 1400)), True)
            return {"listings": [before, ListedModel(at(read), at(read), False)]}
        case _:
            state = AccountState.REJECTED if kind is CauseKind.KEY else AccountState.OUT_OF_CREDIT
            expires = at(minutes) if kind is CauseKind.KEY and chance.random() < 0.5 else None
            good = AccountReading(
                provider="openrouter", at=at(seen - 5), state=AccountState.OK, expires_at=expires
            )
            return {"accounts": [good, replace(good, at=at(seen), state=state)]}


def run(chance: random.Random) -> tuple[CauseKind | None, str]:
    """One incident: its true cause, and `right`, `cannot tell` or `wrong`."""
    truth = chance.choice(CAUSES)
    down = truth is CauseKind.CERTIFICATE or (truth in ERRORS and chance.random() < 0.4)
    limited = truth is CauseKind.PROBES_LIMITED
    marks = "...|...|...|..." + "|xrr" * 3 if limited else "...|...|...|..."
    marks += "" if limited else ("|xxx" if down else "|FFF") * 3
    samples = list(marked(marks))
    sources: dict[str, list[Any]] = {
        name: [] for name in ("accounts", "pages", "configurations", "listings", "statistics")
    }

    def add(more: Mapping[str, list[Any]]) -> None:
        for name, items in more.items():
            sources[name] += items

    error, outcome = "", Outcome.ERROR_EVENT
    if down:
        error = ERRORS.get(truth, "certificate verify failed: certificate has expired")  # type: ignore[arg-type]
        outcome = Outcome.TLS if truth is CauseKind.CERTIFICATE else outcome
    samples = [
        replace(s, outcome=outcome, error=error) if error and s.outcome is Outcome.REFUSED else s
        for s in samples
    ]
    recorded = truth in STATUSES and not down and chance.random() < 0.8
    attempts = [
        ProviderAttempt(chance.choice(STATUSES[truth]), "Groq", LLAMA)  # type: ignore[index]
        for _ in range(chance.randint(1, 3))
    ] if recorded else []  # fmt: skip
    if truth in (*EVENTS, CauseKind.MODEL_REMOVED) and chance.random() < 0.9 and truth:
        add(event(truth, chance.uniform(-8, 0), chance))
    if truth in PROVIDERS and chance.random() < 0.5:
        bad = [HostStatistics("Groq", chance.uniform(0, 80), None)]
        add({"statistics": [ModelStatistics(at(chance.uniform(2, 25)), bad)]})
    fallbacks = 1 if truth is CauseKind.GATEWAY else None
    other = chance.choice([kind for kind in EVENTS if kind is not truth])
    account = other in (CauseKind.KEY, CauseKind.CREDIT)
    if chance.random() < 0.5 and not (account and sources["accounts"]):
        # Old or later news about another cause: by no means to be named.
        minutes = chance.choice([chance.uniform(-600, -66), chance.uniform(11, 600)])
        add(event(other, minutes, chance))
    for items in sources.values():
        if chance.random() < 0.1:
            items.clear()
    for name, items in sources.items():
        items.sort(key=lambda item: item if name == "configurations" else item.at)
    of = window(iter(samples))
    verdict = (DownRule() if down or limited else FallbackRule()).judge(of, None, after(of))
    routes = [
        AnswerRoute(s.id, s.at, attempts or None, fallbacks, "x-litellm-attempted-fallbacks")
        for s in samples
        if s.model and s.model != LLAMA
    ]
    found = likely_cause(
        verdict,
        CauseSources(
            begun=BEGUN, model=LLAMA, samples=of.samples, routes=routes,
            **sources,  # type: ignore[arg-type]
        ),
    )  # fmt: skip
    named = None if found is None or found.kind is CauseKind.UNATTRIBUTED else found.kind
    same = named is truth or (named in PROVIDERS and truth in PROVIDERS)
    if named is not None and not same:
        return truth, "wrong"
    return truth, "right" if same else "cannot tell"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks.likely_causes")
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    counted = Counter(run(chance) for _ in range(given.runs))
    print(f"{'cause':<20}{'right':>8}{'cannot tell':>13}{'wrong':>7}")
    for truth in CAUSES:
        shown = [counted[truth, judged] for judged in ("right", "cannot tell", "wrong")]
        print(f"{truth or 'not to be known':<20}{shown[0]:>8}{shown[1]:>13}{shown[2]:>7}")
    right = sum(count for (_, judged), count in counted.items() if judged == "right")
    wrong = sum(count for (_, judged), count in counted.items() if judged == "wrong")
    print(f"right {right / given.runs:.1%}, wrong {wrong} of {given.runs:,}")


if __name__ == "__main__":
    main()
