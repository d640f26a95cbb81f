"""The comparison in one sentence that somebody can act on."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from monitor.domain import usd_text
from monitor.paired_comparison.differences import (
    ANSWERED,
    CONFIDENCE,
    PASSED,
    Difference,
    ShareDifference,
)
from monitor.paired_comparison.judge_verdicts import JudgeSummary
from monitor.paired_comparison.paired_answers import COST, TOTAL, TTFT

LEAST_CHANGE = 0.02  # of a ratio: smaller differences are real perhaps, and never a reason
FEWEST_PAIRS = 8  # with fewer, no difference of six figures is sure, even if all pairs agree
_COMPARED = {TTFT: "time to first token", TOTAL: "time to the end", COST: "cost"}


@dataclass(frozen=True, slots=True)
class Reason:
    """One shown difference. `side` that it speaks for: `a` or `b`; `words` have B as subject.

    `p`: how likely it is between equal sides; None: not known.
    """

    side: str
    words: str
    p: float | None = None


def conclusion(
    a: str,
    b: str,
    found: Sequence[Difference],
    held: Sequence[ShareDifference],
    judge: JudgeSummary | None,
) -> str:
    """One sentence: use B, keep A, what to weigh, or that nothing was shown.

    Several figures are compared, and each of them may differ by chance. So that equal sides lead to
    a difference in at most one of twenty comparisons, the reasons are tested together (Holm).
    """
    compared = [one for one in found if one.metric in _COMPARED and one.low is not None]
    figures = len({share.name == PASSED for share in held}) + len(compared) + (judge is not None)
    reasons = _sure([*_shares(held), *_metrics(compared), *_judge(judge)], figures)
    pairs = max((share.pairs for share in held), default=0)
    for_a = [reason.words for reason in reasons if reason.side == "a"]
    for_b = [reason.words for reason in reasons if reason.side == "b"]
    measured = [one.metric for one in found]
    missing = [
        name
        for metric, name in _COMPARED.items()
        if all(one.metric is not metric for one in compared)
    ]
    unknown = f" ({_joined(missing)} could not be compared)" if missing else ""
    if for_a and for_b:
        return f"Weigh it: {b} {_joined(for_b)}, but it {_joined(for_a)}{unknown}."
    if for_b:
        return (
            f"Use {b} instead of {a}: it {_joined(for_b)}, and no relevant disadvantage was shown"
            f"{unknown}."
        )
    if for_a:
        return f"Keep {a}: {b} {_joined(for_a)}, and no relevant advantage was shown{unknown}."
    if silent := _silent(a, b, held):
        return silent
    if pairs < FEWEST_PAIRS:
        absent = [name for metric, name in _COMPARED.items() if metric not in measured]
        unknown = f" ({_joined(absent)} could not be compared)" if absent else ""
        return (
            f"{pairs} pair{'s are' if pairs != 1 else ' is'} too few to show a difference between "
            f"{a} and {b}{unknown}: keep {a}, or repeat with at least {FEWEST_PAIRS} pairs."
        )
    shown = any(one.shown for one in compared) or any(share.shown for share in held)
    nothing = "is both significant and relevant after" if shown else "was shown in"
    return (
        f"No difference between {a} and {b} {nothing} {pairs} pairs{unknown}: keep {a}, or "
        "repeat with more pairs, for example four times as many to see differences half as large."
    )


def _silent(a: str, b: str, held: Sequence[ShareDifference]) -> str:
    """That a side never answered, where no conclusion follows from it; empty if both did."""
    for share in held:
        if share.name != ANSWERED or not share.pairs or (share.a and share.b):
            continue
        pairs = f"{share.pairs} pair{'s' * (share.pairs != 1)}"
        if not (share.a or share.b):
            return f"Neither {a} nor {b} answered, in {pairs}: nothing could be compared."
        return (
            f"{pairs} {'are' if share.pairs != 1 else 'is'} too few to show a difference between "
            f"{a} and {b}: {b if share.a else a} never answered; see its errors, then repeat with "
            f"at least {FEWEST_PAIRS} pairs."
        )
    return ""


def _sure(reasons: Sequence[Reason], figures: int) -> Sequence[Reason]:
    """The reasons that hold together: Holm's step-down test over all figures that were compared.

    Source: doi.org/10.2307/4615733
    """
    alpha, sure = 1 - CONFIDENCE, set[int]()
    tested = sorted((reason.p, nth) for nth, reason in enumerate(reasons) if reason.p is not None)
    for step, (p, nth) in enumerate(tested):
        if p > alpha / max(figures - step, 1):
            break
        sure.add(nth)
    return [one for nth, one in enumerate(reasons) if one.p is None or nth in sure]


def _shares(held: Sequence[ShareDifference]) -> list[Reason]:
    words = {
        ANSWERED: "answers",
        "complete": "completes its answer",
        PASSED: "passes its checks",
    }
    reasons: list[Reason] = []
    for share in held:
        # An answer that is missing is not complete either; checks are of answers alone.
        if not share.shown or (reasons and share.name != PASSED):
            continue
        text = f"{words[share.name]} in {share.b} of {share.pairs} instead of {share.a}"
        reasons.append(Reason("b" if share.b > share.a else "a", text, share.p))
    return reasons


def _metrics(found: Sequence[Difference]) -> list[Reason]:
    reasons = []
    for one in found:
        relevant = not one.a or abs(one.difference / one.a) >= LEAST_CHANGE
        if one.shown and relevant:
            side = "b" if one.difference < 0 else "a"
            reasons.append(Reason(side, _words(one), one.p))
    return reasons


def _words(one: Difference) -> str:
    if one.metric is COST:
        if one.ratio is None:
            return f"costs {usd_text(Decimal(repr(one.b)))} a query instead of nothing"
        return f"costs {multiple(one.ratio)}" if one.b else "costs nothing"
    verb = "begins to answer" if one.metric is TTFT else "finishes"
    return f"{verb} {_time(one.difference)} {'sooner' if one.difference < 0 else 'later'}"


def _time(ms: float) -> str:
    return f"{abs(ms) / 1000:.2f} s" if abs(ms) >= 100 else f"{abs(ms):.2g} ms"


def _judge(judge: JudgeSummary | None) -> list[Reason]:
    if judge is None or judge.prefers is None:
        return []
    decided = judge.a + judge.b
    if judge.prefers == "b":
        text = f"is preferred by the judge in {judge.b} of {decided} decided pairs"
    else:
        text = f"loses before the judge in {judge.a} of {decided} decided pairs"
    return [Reason(judge.prefers, text, judge.p)]


def multiple(ratio: float) -> str:
    """A ratio in words: `3.2 × as much`, `35 % less`."""
    if ratio >= 2:
        return f"{ratio:.3g} × as much"
    change = f"{abs(ratio - 1):.0%}".replace("%", " %")
    return f"{change} {'more' if ratio > 1 else 'less'}"


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
