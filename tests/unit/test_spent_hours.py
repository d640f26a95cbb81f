"""The hours of a day's spend: the same money as the day's own sum, laid out by the hour."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from monitor.pricing.meters import AccountSpend, UsdAmount
from monitor.pricing.spend_day import RunningDay, SpendSlice, SpentHour, spent_day

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)
QUERIES = {"rag": 48}  # two an hour
BILLS = {"llama": "openrouter", "haiku": "anthropic"}.get


def heard(hours: float, model: str | None, usd: str, unpriced: int = 0) -> SpendSlice:
    return SpendSlice(
        target="rag", starts_at=MIDNIGHT + timedelta(hours=hours), model=model,
        probes_usd=Decimal(usd), answers=1, unpriced=unpriced,
        mean_usd=Decimal(usd) if not unpriced else None,
    )  # fmt: skip


def hours(slices: list[SpendSlice], until: float) -> list[SpentHour]:
    day = RunningDay(starts_at=MIDNIGHT, ends_at=MIDNIGHT + DAY, daily_queries=QUERIES,
                     provider_of=BILLS, zone=UTC)  # fmt: skip
    return day.so_far(slices, MIDNIGHT + timedelta(hours=until)).spent_hours()


def test_traffic_goes_on_being_served_as_it_last_was() -> None:
    found = hours([heard(0, "llama", "0.01"), heard(1, "haiku", "0.05")], until=3)
    spent = {(h.starts_at.hour, h.provider, h.meter): round(h.spent.usd, 6) for h in found}
    assert spent == {
        (0, "openrouter", "probes"): Decimal("0.01"),
        (0, "openrouter", "traffic"): Decimal("0.02"),
        (1, "anthropic", "probes"): Decimal("0.05"),
        (1, "anthropic", "traffic"): Decimal("0.10"),
        (2, "anthropic", "traffic"): Decimal("0.10"),
    }


def test_hours_add_up_to_the_day() -> None:
    slices = [heard(0, "llama", "0.01"), heard(5.25, "haiku", "0.05"), heard(9, None, "0")]
    day = spent_day(slices, starts_at=MIDNIGHT, ends_at=MIDNIGHT + DAY, now=MIDNIGHT + DAY,
                    daily_queries=QUERIES, provider_of=BILLS, accounts={})  # fmt: skip
    assert sum(hour.spent.usd for hour in hours(slices, until=24)) == day.spend.total.usd


def test_the_running_hour_ends_now() -> None:
    [*_, last] = hours([heard(0, "llama", "0.01")], until=1.5)
    assert last.until - last.starts_at == timedelta(minutes=30)
    assert round(last.spent.usd, 6) == Decimal("0.01")


def test_what_has_no_price_makes_its_hour_at_least() -> None:
    found = hours([heard(0, "llama", "0", unpriced=1)], until=1)
    assert [hour.spent.at_least for hour in found] == [True, True]


def ranged(hours: float, low: str, high: str, unpriced: int = 0) -> SpendSlice:
    """One answer of unknown model."""
    return SpendSlice(
        target="rag", starts_at=MIDNIGHT + timedelta(hours=hours), model=None,
        probes_usd=Decimal(low), answers=1, unpriced=unpriced, mean_usd=Decimal(low),
        high_usd=Decimal(high), mean_high_usd=Decimal(high),
    )  # fmt: skip


def spent(slices: list[SpendSlice], *, accounts: dict[str, str], minutes_ago: int = 5) -> UsdAmount:
    """The day's sum with what accounts said so many minutes before its end."""
    reported = MIDNIGHT + DAY - timedelta(minutes=minutes_ago)
    day = spent_day(
        slices,
        starts_at=MIDNIGHT,
        ends_at=MIDNIGHT + DAY,
        now=MIDNIGHT + DAY,
        daily_queries={},
        provider_of=BILLS,
        billers={"rag": {"openrouter", "anthropic"}},
        accounts={
            name: AccountSpend(UsdAmount(Decimal(usd)), reported) for name, usd in accounts.items()
        },
    )
    return day.spend.total


def test_hours_hold_both_ends() -> None:
    found = hours([ranged(0, "0.01", "0.05")], until=1)
    assert [(h.spent.usd, h.spent.high_usd) for h in found if h.meter == "probes"] == [
        (Decimal("0.01"), Decimal("0.05"))
    ]
    [traffic] = [h.spent for h in found if h.meter == "traffic"]
    assert (round(traffic.usd, 6), round(traffic.high_usd, 6)) == (Decimal("0.02"), Decimal("0.10"))


def test_without_accounts_unknown_models_cost_between_both_ends() -> None:
    slices = [heard(0, "llama", "0.25"), ranged(1, "0.15", "1.85")]
    assert spent(slices, accounts={}) == UsdAmount(Decimal("0.40"), False, Decimal("1.70"))


def test_an_account_may_hold_what_an_unknown_model_cost_so_only_its_high_end_counts() -> None:
    slices = [heard(0, "llama", "0.25"), ranged(1, "0.15", "1.85")]
    total = spent(slices, accounts={"openrouter": "0.50"})
    assert (total.usd, total.high_usd) == (Decimal("0.50"), Decimal("2.35"))


def test_accounts_of_all_declared_providers_hold_everything() -> None:
    slices = [ranged(1, "0.15", "1.85")]
    both = {"openrouter": "0.50", "anthropic": "0.30"}
    assert spent(slices, accounts=both) == UsdAmount(Decimal("0.80"))
    stale = spent(slices, accounts=both, minutes_ago=60)
    assert (stale.usd, stale.high_usd) == (Decimal("0.80"), Decimal("2.65"))


def test_a_range_that_leaves_a_model_out_makes_the_sum_at_least() -> None:
    total = spent([ranged(1, "0.15", "1.85", unpriced=1)], accounts={})
    assert total == UsdAmount(Decimal("0.15"), True, Decimal("1.70"))
