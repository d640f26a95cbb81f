"""What answers cost: the price book, tokens × price, spend meters and projections. Pure."""

from monitor.pricing.book import PriceBook, book, shipped
from monitor.pricing.cost import WRITTEN_1H, TokenUse, cost, priced, priced_or_ranged, tokens
from monitor.pricing.forecast import Savings, SpendForecast, projected, savings
from monitor.pricing.meters import (
    AccountSpend,
    DailySpend,
    ProviderDay,
    ProviderSpend,
    ServedAnswers,
    UsdAmount,
    account_spend,
    daily_spend,
    day_of,
    fresh_for,
    traffic,
)
from monitor.pricing.price_table import (
    BadPrices,
    Price,
    PriceRates,
    PriceTier,
    exact,
    rounded,
    rows,
)
from monitor.pricing.published import PriceDifference, differences, stale
from monitor.pricing.spend_day import SpendSlice, SpentDay, spent_day

__all__ = [
    "WRITTEN_1H",
    "AccountSpend",
    "BadPrices",
    "DailySpend",
    "Price",
    "PriceBook",
    "PriceDifference",
    "PriceRates",
    "PriceTier",
    "ProviderDay",
    "ProviderSpend",
    "Savings",
    "ServedAnswers",
    "SpendForecast",
    "SpendSlice",
    "SpentDay",
    "TokenUse",
    "UsdAmount",
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
