"""Provider accounts: is the key alive, what is left of it, what was spent today.

A provider is one file with one class, listed here. Each takes a `get` that speaks HTTP,
the key, and what stands before the path of the provider's documentation.
"""

from monitor.accounts.anthropic import AnthropicAccount
from monitor.accounts.openai import OpenAIAccount
from monitor.accounts.openrouter import OpenRouterAccount, ProviderReceipt, price_list
from monitor.accounts.replies import AccountReply, JsonGetter, ProviderAccount
from monitor.domain import AccountReading, AccountState

ACCOUNTS: dict[str, type[OpenRouterAccount] | type[AnthropicAccount] | type[OpenAIAccount]] = {
    "openrouter": OpenRouterAccount,  # an ordinary key
    "anthropic": AnthropicAccount,  # an admin key
    "openai": OpenAIAccount,  # an admin key
}

__all__ = [
    "ACCOUNTS",
    "AccountReading",
    "AccountReply",
    "AccountState",
    "AnthropicAccount",
    "JsonGetter",
    "OpenAIAccount",
    "OpenRouterAccount",
    "ProviderAccount",
    "ProviderReceipt",
    "price_list",
]
