"""What answers cost: the price book, tokens × price, spend meters and projections. Pure."""

from monitor.pricing.book import Book, book, shipped
from monitor.pricing.cost import WRITTEN_1H, cost, priced, priced_or_ranged
from monitor.pricing.day import Slice, SpentDay, spent_day
from monitor.pricing.meters import (
    Account,
    Amount,
    DailySpend,
    Line,
    ProviderDay,
    Serving,
    account_spend,
    daily_spend,
    day_of,
    fresh_for,
    traffic,
)
from monitor.pricing.money import exact, rounded
from monitor.pricing.price import Price, Rates, Tier
from monitor.pricing.projection import Projection, Savings, projected, savings
from monitor.pricing.rows import BadPrices, rows
from monitor.pricing.stale import Difference, differences, stale
from monitor.pricing.tokens import Tokens, tokens

__all__ = [
    "WRITTEN_1H",
    "Account",
    "Amount",
    "BadPrices",
    "Book",
    "DailySpend",
    "Difference",
    "Line",
    "Price",
    "Projection",
    "ProviderDay",
    "Rates",
    "Savings",
    "Serving",
    "Slice",
    "SpentDay",
    "Tier",
    "Tokens",
    "account_spend",
    "book",
    "cost",
    "daily_spend",
    "day_of",
    "differences",
    "exact",
    "fresh_for",
    "priced",
    "priced_or_ranged",
    "projected",
    "rounded",
    "rows",
    "savings",
    "shipped",
    "spent_day",
    "stale",
    "tokens",
    "traffic",
]
