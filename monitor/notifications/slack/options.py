"""Slack, by a bot token or by an incoming webhook."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from monitor.notifications.notifier import (
    ChannelOptions,
    ChannelVariable,
    Notifier,
    OptionKind,
    option,
)


@dataclass(frozen=True, kw_only=True)
class SlackOptions(ChannelOptions):
    """A bot (`token`, `channel`) edits one message per incident; a webhook sends new ones."""

    kind: ClassVar[str] = "slack"
    variables: ClassVar[tuple[ChannelVariable, ...]] = (
        ChannelVariable(
            "SLACK_BOT_TOKEN",
            "token",
            "a bot token ([scopes](slack.md#scopes)): one message per incident, "
            "edited in place; what people must notice is a reply that is shown in the channel, "
            "too",
            needs="SLACK_CHANNEL",
            needs_remedy="name the channel's id",
        ),
        ChannelVariable("SLACK_CHANNEL", "channel", "id of the channel that the bot writes to"),
        ChannelVariable(
            "SLACK_WEBHOOK_URL",
            "webhook_url",
            "an incoming webhook: https, or http on loopback. Used when there is no bot token",
        ),
        ChannelVariable("SLACK_API_BASE_URL", "api_base_url", "for proxies and tests"),
    )
    setup: ClassVar[str] = "SLACK_BOT_TOKEN and SLACK_CHANNEL, or SLACK_WEBHOOK_URL"

    token: str | None = option(OptionKind.KEY, default=None)
    channel: str | None = option(OptionKind.TEXT, default=None)
    webhook_url: str | None = option(OptionKind.SECRET_ADDRESS, default=None)
    api_base_url: str = option(OptionKind.ADDRESS, default="https://slack.com/api")

    def __post_init__(self) -> None:
        if (self.token is None) != (self.channel is None):
            raise ValueError("token and channel go together: a bot token, and a channel's id")
        if (self.token is None) == (self.webhook_url is None):
            raise ValueError(
                f"give either token and channel, or webhook_url, or set {self.setup} "
                "and give none of them"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """A bot where its variables are set, else a webhook."""
        token, channel = environment.get("SLACK_BOT_TOKEN"), environment.get("SLACK_CHANNEL")
        if token and channel:
            url = environment.get("SLACK_API_BASE_URL", cls.api_base_url)
            return cls(token=token, channel=channel, api_base_url=url)
        webhook_url = environment.get("SLACK_WEBHOOK_URL")
        return cls(webhook_url=webhook_url) if webhook_url else None

    def notifier(self, name: str) -> Notifier:
        # Only users of Slack load slack-sdk, which takes 2 MiB.
        from monitor.notifications.slack.bot import SlackBot
        from monitor.notifications.slack.webhook import SlackWebhook

        if self.token is not None and self.channel is not None:
            return SlackBot(self.token, self.channel, base_url=self.api_base_url)
        return SlackWebhook(self.webhook_url or "")
