"""The stated interval of a day's bill: when there is one, what it is, and that it is kept."""

from decimal import Decimal

from benchmarks.reconciliation import covered
from monitor.domain import bill_text
from monitor.pricing.reconciliation import ReconciledDay, SpendUncertainty, uncertainty
from tests.case_tables import each


def days(count: int, *, error: str = "0.1") -> list[ReconciledDay]:
    return [ReconciledDay(Decimal(1), 1 + Decimal(error))] * count


@each(("count", "stated"), [(0, False), (18, False), (19, True), (30, True), (400, True)])
def test_nineteen_days_are_needed_for_a_confidence_of_95_per_cent(count: int, stated: bool) -> None:
    assert (uncertainty(days(count), Decimal(2)) is not None) is stated


def test_the_largest_of_thirty_relative_errors_counts_in_both_directions() -> None:
    history = [*days(28, error="0.01"), *days(1, error="-0.2"), *days(1, error="0.05")]
    assert uncertainty(history, Decimal("2.03")) == SpendUncertainty(Decimal("0.406"), 30)


def test_only_the_latest_thirty_days_count_and_days_without_spend_do_not() -> None:
    history = [*days(1, error="9"), *days(30)]
    found = uncertainty(history, Decimal(1))
    assert found == SpendUncertainty(Decimal("0.1"), 30)
    nothing = [ReconciledDay(Decimal(0), Decimal(5))] * 11
    assert uncertainty([*days(19), *nothing], Decimal(1)) == SpendUncertainty(Decimal("0.1"), 19)


def test_in_sixty_simulated_days_the_interval_covers_the_bill() -> None:
    counts = [covered(60, seed) for seed in range(60)]
    hits, stated = (sum(column) for column in zip(*counts, strict=True))
    assert stated == 60 * 41, "from the 20th day on"
    assert hits / stated >= 0.93


def test_in_words() -> None:
    assert bill_text(Decimal("2.03"), Decimal("0.05"), 30) == (
        "$2.03, ± $0.05 by 30 days of reconciliation"
    )
    assert bill_text(Decimal("2.03"), None, 0) == ""
    assert bill_text(Decimal(0), Decimal(0), 30) == ""
    assert bill_text(Decimal("1.15"), Decimal("0.06758"), 30).startswith("$1.15, ± $0.07 by 30 ")
    assert bill_text(Decimal("0.0115"), Decimal("0.00068"), 30).startswith("$0.0115, ± $0.00068 ")
