"""Provider accounts: whether the key is valid, what is left, what was spent today.

A provider is one file with one class and one line in this table. The class names the variable
of its key and its base URL; settings, `check` and the worker take them from there.
"""

from collections.abc import Mapping

from monitor.accounts.anthropic import AnthropicAccount
from monitor.accounts.openai import OpenAIAccount
from monitor.accounts.openrouter import OpenRouterAccount
from monitor.accounts.replies import ProviderAccount

ACCOUNTS: Mapping[str, type[ProviderAccount]] = {
    account.name: account
    for account in (
        OpenRouterAccount,  # an ordinary key
        AnthropicAccount,  # an admin key
        OpenAIAccount,  # an admin key
    )
}
