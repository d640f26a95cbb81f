"""Provider accounts: is the key alive, what is left of it, what was spent today.

A provider is one file with one class, listed here. Each takes a `get` that speaks HTTP,
the key, and what stands before the path of the provider's documentation.
"""

from monitor.accounts.anthropic import Anthropic
from monitor.accounts.openai import OpenAI
from monitor.accounts.openrouter import OpenRouter, Receipt, price_list
from monitor.accounts.reading import Account, Answer, Get
from monitor.domain import AccountState, Reading

ACCOUNTS: dict[str, type[OpenRouter] | type[Anthropic] | type[OpenAI]] = {
    "openrouter": OpenRouter,  # an ordinary key
    "anthropic": Anthropic,  # an admin key
    "openai": OpenAI,  # an admin key
}

__all__ = [
    "ACCOUNTS",
    "Account",
    "AccountState",
    "Answer",
    "Anthropic",
    "Get",
    "OpenAI",
    "OpenRouter",
    "Reading",
    "Receipt",
    "price_list",
]
