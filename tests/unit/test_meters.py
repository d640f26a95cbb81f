"""Three meters and the day's one sum: what counts, from whom, and when it is only a floor."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from monitor.pricing.meters import (
    AccountSpend,
    ProviderDay,
    ServedAnswers,
    UsdAmount,
    account_spend,
    daily_spend,
    day_of,
    fresh_for,
    traffic,
)
from tests.case_tables import each

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HALF = timedelta(hours=12)


def usd(text: str, *, at_least: bool = False) -> UsdAmount:
    return UsdAmount(Decimal(text), at_least)


def says(text: str, *, minutes_ago: int = 5) -> AccountSpend:
    return AccountSpend(usd(text), NOON - timedelta(minutes=minutes_ago))


def llama(answers: int, mean: str | None = "0.0002") -> ServedAnswers:
    return ServedAnswers("openrouter", answers, None if mean is None else Decimal(mean))


def haiku(answers: int, mean: str | None = "0.0020") -> ServedAnswers:
    return ServedAnswers("anthropic", answers, None if mean is None else Decimal(mean))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- traffic ---


@each(
    ("serving", "spent"),
    [
        ([llama(10)], {"openrouter": usd("0.1")}),  # 500 queries by noon
        ([haiku(10)], {"anthropic": usd("1")}),
        ([llama(9), haiku(1)], {"openrouter": usd("0.09"), "anthropic": usd("0.1")}),
        ([llama(5), llama(5, "0.0004")], {"openrouter": usd("0.15")}),
        (
            [llama(5), haiku(5, None)],
            {"openrouter": usd("0.05"), "anthropic": usd("0", at_least=True)},
        ),
        ([ServedAnswers(None, 1, None)], {None: usd("0", at_least=True)}),
        ([llama(0)], {None: usd("0", at_least=True)}),  # nobody was heard, nobody can tell
        ([], {None: usd("0", at_least=True)}),
    ],
)
def test_traffic_is_spread_over_models_as_the_answers_are(
    serving: list[ServedAnswers], spent: dict[str | None, UsdAmount]
) -> None:
    assert traffic(serving, daily_queries=1000, span=HALF, day=DAY) == spent


def test_without_queries_a_day_the_traffic_meter_is_off() -> None:
    assert traffic([llama(10)], daily_queries=0, span=HALF, day=DAY) == {}


def test_traffic_follows_the_part_of_the_day_that_is_gone() -> None:
    hours = [timedelta(hours=h) for h in (0, 6, 24)]
    spent = [traffic([llama(1)], daily_queries=1000, span=span, day=DAY) for span in hours]
    assert spent == [{}, {"openrouter": usd("0.05")}, {"openrouter": usd("0.2")}]


# --- the day's sum ---


def test_without_any_account_probes_and_traffic_of_all_providers_are_summed() -> None:
    spend = daily_spend(
        [
            ProviderDay(provider="openrouter", probes=usd("0.01"), traffic=usd("0.05")),
            ProviderDay(provider="anthropic", probes=usd("0.02"), traffic=usd("0.50")),
        ],
        now=NOON,
    )
    assert spend.total == usd("0.58")
    assert [line.meter for line in spend.lines] == ["estimate", "estimate"]


def test_a_known_account_stands_for_its_provider_and_is_not_added_to_it() -> None:
    day = ProviderDay(
        provider="openrouter", probes=usd("0.01"), traffic=usd("0.05"), account=says("0.30")
    )
    spend = daily_spend([day], now=NOON)
    assert spend.total == usd("0.30")
    assert spend.lines[0].meter == "account"
    assert spend.lines[0].day is day  # the three meters stay readable apart


def test_an_account_gone_quiet_under_a_fallback_is_never_good_news() -> None:
    """A key of OpenRouter is known, none of Anthropic; at six the service falls back."""

    def spend(*, hours_fallen: int) -> UsdAmount:
        healthy, fallen = timedelta(hours=12 - hours_fallen), timedelta(hours=hours_fallen)
        by_llama = traffic([llama(10)], daily_queries=1000, span=healthy, day=DAY)
        by_haiku = traffic([haiku(10)], daily_queries=1000, span=fallen, day=DAY)
        account = by_llama["openrouter"] if healthy else UsdAmount()
        return daily_spend(
            [
                ProviderDay(
                    provider="openrouter",
                    traffic=by_llama.get("openrouter", UsdAmount()),
                    account=AccountSpend(account, NOON),
                ),
                ProviderDay(
                    provider="anthropic",
                    probes=usd("0.01") if hours_fallen else UsdAmount(),
                    traffic=by_haiku.get("anthropic", UsdAmount()),
                ),
            ],
            now=NOON,
        ).total

    assert spend(hours_fallen=0) == usd("0.1")
    assert spend(hours_fallen=6) == usd("0.56")  # 0.05 on the account, 0.51 beside it
    assert spend(hours_fallen=12) == usd("1.01")  # the account says nothing was spent


@pytest.mark.parametrize(
    ("account", "spent", "meter"),
    [
        (says("0.30", minutes_ago=30), usd("0.30"), "account"),
        (says("0.30", minutes_ago=31), usd("0.60", at_least=True), "estimate"),
        (says("0.90", minutes_ago=31), usd("0.90", at_least=True), "account"),
        (None, usd("0.60"), "estimate"),
    ],
)
def test_a_frozen_account_counts_only_if_it_is_the_larger_figure(
    account: AccountSpend | None, spent: UsdAmount, meter: str
) -> None:
    day = ProviderDay(
        provider="openrouter", probes=usd("0.10"), traffic=usd("0.50"), account=account
    )
    spend = daily_spend([day], now=NOON)
    assert (spend.total, spend.lines[0].meter) == (spent, meter)


@pytest.mark.parametrize(("every", "minutes"), [(1, 30), (5, 30), (10, 30), (60, 180)])
def test_an_account_read_rarely_stays_fresh_for_three_readings(every: int, minutes: int) -> None:
    assert fresh_for(timedelta(minutes=every)) == timedelta(minutes=minutes)


def test_anything_without_a_price_makes_the_sum_a_floor() -> None:
    spend = daily_spend(
        [
            ProviderDay(provider="openrouter", account=says("0.30")),
            ProviderDay(provider=None, probes=usd("0", at_least=True)),
        ],
        now=NOON,
    )
    assert spend.total == usd("0.30", at_least=True)


def test_a_day_without_anything_cost_nothing() -> None:
    assert daily_spend([], now=NOON).total == usd("0")


# --- what an account spent on a day of ours ---

TODAY = (at("2026-11-23T00:00+00:00"), at("2026-11-24T00:00+00:00"))
BALI = (at("2026-11-22T16:00+00:00"), at("2026-11-23T16:00+00:00"))  # the 23rd at UTC+8


@each(
    ("bounds", "readings", "spent"),
    [
        (TODAY, [], None),
        (TODAY, [("2026-11-22T23:58+00:00", "9")], None),
        (TODAY, [("2026-11-23T00:03+00:00", "0.1")], usd("0.1")),
        (TODAY, [("2026-11-22T23:58+00:00", "9"), ("2026-11-23T12:00+00:00", "2")], usd("2")),
        (TODAY, [("2026-11-23T12:00+00:00", "2"), ("2026-11-24T00:00+00:00", "0")], usd("2")),
        (
            BALI,  # 9 − 7 before the provider's midnight, 3 after it
            [
                ("2026-11-22T15:58+00:00", "7"),
                ("2026-11-22T23:58+00:00", "9"),
                ("2026-11-23T15:00+00:00", "3"),
                ("2026-11-23T17:00+00:00", "8"),
            ],
            usd("5"),
        ),
        (
            BALI,  # the worker began in the middle: what 7 is made of, nobody knows
            [("2026-11-22T18:00+00:00", "7"), ("2026-11-22T20:00+00:00", "8")],
            usd("1", at_least=True),
        ),
        (
            BALI,  # a figure corrected downwards is not money given back
            [("2026-11-22T15:58+00:00", "7"), ("2026-11-22T20:00+00:00", "6")],
            usd("0"),
        ),
    ],
)
def test_an_accounts_utc_counter_is_read_for_a_day_in_any_zone(
    bounds: tuple[datetime, datetime],
    readings: list[tuple[str, str]],
    spent: UsdAmount | None,
) -> None:
    found = account_spend(
        [(at(when), Decimal(figure)) for when, figure in readings],
        starts_at=bounds[0],
        ends_at=bounds[1],
    )
    assert (found and found.spent) == spent


def test_an_account_is_as_old_as_its_last_reading_within_the_day() -> None:
    found = account_spend(
        [
            (at("2026-11-23T11:00+00:00"), Decimal(1)),
            (at("2026-11-23T11:30+00:00"), Decimal(1)),
            (at("2026-11-24T00:05+00:00"), Decimal(0)),
        ],
        starts_at=TODAY[0],
        ends_at=TODAY[1],
    )
    assert found == AccountSpend(usd("1"), at("2026-11-23T11:30+00:00"))


# --- days ---


@pytest.mark.parametrize(
    ("when", "zone", "day", "hours"),
    [
        ("2026-11-23T23:59:59+00:00", "UTC", "2026-11-23", 24),
        ("2026-11-23T23:59:59+00:00", "Asia/Makassar", "2026-11-24", 24),
        ("2026-10-25T12:00:00+00:00", "Europe/Rome", "2026-10-25", 25),
        ("2026-03-29T12:00:00+00:00", "Europe/Rome", "2026-03-29", 23),
    ],
)
def test_a_day_in_a_zone_has_its_own_bounds_and_length(
    when: str, zone: str, day: str, hours: int
) -> None:
    found, starts, ends = day_of(at(when), ZoneInfo(zone))
    assert str(found) == day
    assert ends - starts == timedelta(hours=hours)
    assert starts <= at(when) < ends
    assert starts.tzinfo is UTC
