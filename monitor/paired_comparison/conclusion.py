"""The comparison in one sentence that somebody can act on."""

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.paired_comparison.differences import PASSED, Difference, ShareDifference
from monitor.paired_comparison.judge_verdicts import JudgeSummary
from monitor.paired_comparison.paired_answers import COST, TTFT

LEAST_CHANGE = 0.02  # of a ratio: smaller differences are real perhaps, and never a reason


@dataclass(frozen=True, slots=True)
class Reason:
    """One shown difference. `side` that it speaks for: `a` or `b`; `words` have B as subject."""

    side: str
    words: str


def conclusion(
    a: str,
    b: str,
    found: Sequence[Difference],
    held: Sequence[ShareDifference],
    judge: JudgeSummary | None,
) -> str:
    """One sentence: use B, keep A, what to weigh, or that nothing was shown."""
    reasons = [*_shares(held), *_metrics(found), *_judge(judge)]
    pairs = max((share.pairs for share in held), default=0)
    for_a = [reason.words for reason in reasons if reason.side == "a"]
    for_b = [reason.words for reason in reasons if reason.side == "b"]
    if for_a and for_b:
        return f"Weigh it: {b} {_joined(for_b)}, but it {_joined(for_a)}."
    if for_b:
        return f"Use {b} instead of {a}: it {_joined(for_b)}, and nothing measured speaks against."
    if for_a:
        return f"Keep {a}: {b} {_joined(for_a)}, and nothing measured speaks for it."
    return (
        f"No difference between {a} and {b} was shown in {pairs} pair{'s' if pairs != 1 else ''}: "
        f"keep {a}, or repeat with more pairs, for example four times as many to see differences "
        "half as large."
    )


def _shares(held: Sequence[ShareDifference]) -> list[Reason]:
    words = {
        "answered": "answers",
        "complete": "completes its answer",
        PASSED: "passes its checks",
    }
    shown = [share for share in held if share.shown]
    return [
        Reason(
            "b" if share.b > share.a else "a",
            f"{words[share.name]} in {share.b} of {share.pairs} instead of {share.a}",
        )
        for share in shown[:1]  # an answer that is missing is not complete either
    ]


def _metrics(found: Sequence[Difference]) -> list[Reason]:
    reasons = []
    for difference in found:
        ratio = difference.ratio
        if not difference.shown or ratio is None or abs(ratio - 1) < LEAST_CHANGE:
            continue
        side = "b" if difference.difference < 0 else "a"
        if difference.metric is TTFT:
            word = "sooner" if difference.difference < 0 else "later"
            seconds = abs(difference.difference) / 1000
            reasons.append(Reason(side, f"begins to answer {seconds:.2f} s {word}"))
        elif difference.metric is COST:
            reasons.append(Reason(side, f"costs {multiple(ratio)}"))
    return reasons


def _judge(judge: JudgeSummary | None) -> list[Reason]:
    if judge is None or judge.prefers is None:
        return []
    decided = judge.a + judge.b
    if judge.prefers == "b":
        return [Reason("b", f"is preferred by the judge in {judge.b} of {decided} decided pairs")]
    return [Reason("a", f"loses before the judge in {judge.a} of {decided} decided pairs")]


def multiple(ratio: float) -> str:
    """A ratio in words: `3.2 × as much`, `35 % less`."""
    if ratio >= 2:
        return f"{ratio:.3g} × as much"
    change = f"{abs(ratio - 1):.0%}".replace("%", " %")
    return f"{change} {'more' if ratio > 1 else 'less'}"


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
