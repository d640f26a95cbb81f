"""A changed price in words, and the dates that a provider's stored list makes."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from monitor.pricing.cost import TokenUse
from monitor.pricing.price_change import DailyUse, day_usd, effective, price_change
from monitor.rules.calendar import CalendarKind
from monitor.storage.provider_models import StoredListing
from monitor.worker.model_dates import dates
from tests.case_tables import each

OLD = {"input": "0.08", "output": "0.3"}
NEW = {"input": "0.10", "output": "0.3"}
# 1,000 answers a day of 2,000 and 500 tokens: 2 and 0.5 million tokens.
USE = [DailyUse(Decimal(1000), TokenUse(prompt=2000, answer=500))]
FIRST = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@each(
    ("after", "uses", "said"),
    [
        (NEW, USE, "input $0.08 → $0.10 per million tokens. "
                   "A day like the last one costs $0.35, before $0.31"),
        ({**OLD, "request": "0.001"}, USE, "none → $0.001 per request. "
                                           "A day like the last one costs $1.31, before $0.31"),
        ({"input": "0.16", "output": "0.6", "cached": "0.04"}, USE,
         "input $0.08 → $0.16, output $0.30 → $0.60, cached input none → $0.04 per million tokens. "
         "A day like the last one costs $0.62, before $0.31"),
        (NEW, [], "input $0.08 → $0.10 per million tokens. "
                  "The model gave no answer in the last 24 h"),
        ({**OLD, "cache_write": "0.1", "reasoning": "0.9"}, USE,
         "reasoning none → $0.90, cache writes none → $0.10 per million tokens. "
         "A day like the last one costs $0.31, before $0.31"),
        # 2,000 tokens are more than 1,000: the tier is the price.
        ({**OLD, "input@1000": "0.5"}, USE, "from 1,000 prompt tokens on input none → $0.50 per "
         "million tokens. A day like the last one costs $1.15, before $0.31"),
        ({**OLD, "input": "0.1", "input@200000": "0.5", "cached@200000": "0.2"}, USE,
         "input $0.08 → $0.10 per million tokens; from 200,000 prompt tokens on input none → "
         "$0.50, cached input none → $0.20 per million tokens. "
         "A day like the last one costs $0.35, before $0.31"),
        ({"input": "-1", "output": "-1"}, USE, "input $0.08 → -$1.00, output $0.30 → -$1.00 per "
                                               "million tokens. The cost of a day is not known"),
    ],
)  # fmt: skip
def test_a_change_shows_old_new_and_the_cost_of_a_day(
    after: dict[str, str], uses: list[DailyUse], said: str
) -> None:
    assert price_change(OLD, after, uses) == said


def test_cached_tokens_cost_their_own_rate() -> None:
    use = [DailyUse(Decimal(1), TokenUse(prompt=1_000_000, answer=0, cached=500_000))]
    assert day_usd({**OLD, "cached": "0.02"}, use) == Decimal("0.05")


def test_another_notation_is_no_change() -> None:
    assert effective({"input": "0.10", "request": "0"}) == effective({"input": "0.1"})


def test_tokens_written_to_the_cache_cost_their_own_rate() -> None:
    use = [DailyUse(Decimal(1), TokenUse(prompt=1_000_000, answer=0, written=500_000))]
    assert day_usd({**OLD, "cache_write": "0.1"}, use) == Decimal("0.09")


def test_prompts_of_different_size_are_priced_by_their_tier() -> None:
    rates = {**OLD, "input@200000": "0.16"}
    small, large = (
        DailyUse(Decimal(1), TokenUse(prompt=prompt, answer=0)) for prompt in (100_000, 300_000)
    )
    assert day_usd(rates, [small]) == Decimal("0.008")
    assert day_usd(rates, [small, large]) == Decimal("0.056")


def listing(day: int, until: int | None = None, **changes: Any) -> StoredListing:
    said: dict[str, Any] = {"listed_as": "m", "expires_on": None, "rates": OLD}
    at = FIRST + day * DAY
    checked_at = at if until is None else FIRST + until * DAY
    return StoredListing(model="m", at=at, checked_at=checked_at, **said | changes)


LOST: dict[str, Any] = {"listed_as": None, "rates": {}}


@each(
    ("stored", "found"),
    [
        ([listing(0, 9)], []),
        ([listing(0, 9, expires_on=date(2026, 12, 24))], [("model", 53)]),
        ([listing(0, 3, expires_on=date(2026, 12, 24)), listing(3, 9)], []),  # withdrawn
        ([listing(0, 3), listing(3, 9, rates=NEW)], [("price", 3)]),
        ([listing(0, 3), listing(3, 9, rates={**OLD, "request": "0"})], []),
        ([listing(0, 3), listing(3, 9, rates={**OLD, "input@200000": "0.2"})], [("price", 3)]),
        (
            [
                listing(0, 3, rates={**OLD, "input@200000": "0.2"}),
                listing(3, 9, rates={**OLD, "input@200000": "0.20"}),
            ],
            [],
        ),
        ([listing(0, 3), listing(3, 4, **LOST), listing(4, 9)], []),  # it came back
        (
            [listing(0, 3), listing(3, 4, **LOST), listing(4, 5), listing(5, 6, **LOST)],
            [("unlisted", 5)],
        ),  # lost again: another date, another notice
        ([listing(0, 3), listing(3, **LOST)], []),  # missing once: the list may be incomplete
        ([listing(0, 3), listing(3, 4, **LOST)], [("unlisted", 3)]),
        ([listing(0, 9, **LOST)], []),  # never listed: the provider may not offer it
        # A price that changes while the model is missing is reported all the same.
        ([listing(0, 3), listing(3, 4, **LOST), listing(4, 9, rates=NEW)], [("price", 4)]),
        ([listing(0, 3), listing(3, 4, rates=NEW), listing(4, 9)], [("price", 3), ("price", 4)]),
    ],
)
def test_the_list_makes_these_dates(
    stored: list[StoredListing], found: list[tuple[str, int]]
) -> None:
    entries = [entry for entry, _ in dates(stored)]
    assert [(entry.kind.value, (entry.at - FIRST).days) for entry in entries] == found


def test_a_date_is_told_apart_by_its_day() -> None:
    ends = [date(2026, 12, 24), date(2026, 12, 31)]
    terms = {entry.term for end in ends for entry, _ in dates([listing(0, 9, expires_on=end)])}
    assert len(terms) == 2
    [(entry, _)] = dates([listing(0, 9, expires_on=ends[0])])
    assert (entry.kind, entry.at) == (CalendarKind.MODEL, datetime(2026, 12, 24, tzinfo=UTC))
