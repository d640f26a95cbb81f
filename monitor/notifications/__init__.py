"""Ways to tell: a Slack bot, a Slack webhook, and the console where neither is set.

A notifier's only wisdom is which failures are final; when to try again is the outbox's.
"""

from slack_sdk import WebClient

from monitor.notifications.notifier import ChannelCheck, ConsoleNotifier, Notifier
from monitor.notifications.slack.bot import SlackBot
from monitor.notifications.slack.webhook import DEADLINE_S, SlackWebhook

__all__ = [
    "DEADLINE_S",
    "ChannelCheck",
    "ConsoleNotifier",
    "Notifier",
    "SlackBot",
    "SlackWebhook",
    "notifier",
]


def notifier(
    *,
    webhook_url: str | None = None,
    bot_token: str | None = None,
    channel: str | None = None,
    api_base_url: str = WebClient.BASE_URL,
) -> Notifier:
    """The best way to tell that is configured: bot, else webhook, else console."""
    if bot_token and channel:
        return SlackBot(bot_token, channel, base_url=api_base_url)
    if webhook_url:
        return SlackWebhook(webhook_url)
    return ConsoleNotifier()
