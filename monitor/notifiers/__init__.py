"""Ways to tell: a Slack bot, a Slack webhook, and the console where neither is set.

A notifier's only wisdom is which failures are final; when to try again is the outbox's.
"""

from slack_sdk import WebClient

from monitor.notifiers.bot import Bot
from monitor.notifiers.channel import Check, Notifier
from monitor.notifiers.console import Console
from monitor.notifiers.slack import DEADLINE_S
from monitor.notifiers.webhook import Webhook

__all__ = ["DEADLINE_S", "Bot", "Check", "Console", "Notifier", "Webhook", "notifier"]


def notifier(
    *,
    webhook_url: str | None = None,
    bot_token: str | None = None,
    channel: str | None = None,
    api_base_url: str = WebClient.BASE_URL,
) -> Notifier:
    """The best way to tell that is configured: bot, else webhook, else console."""
    if bot_token and channel:
        return Bot(bot_token, channel, base_url=api_base_url)
    if webhook_url:
        return Webhook(webhook_url)
    return Console()
