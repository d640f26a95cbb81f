"""An incoming webhook: the least to set up. It cannot edit, reply, or carry metadata."""

from slack_sdk.webhook import WebhookClient

from monitor.domain import Delivery, Message, Sent
from monitor.notifications.notifier import ChannelCheck
from monitor.notifications.slack.refusals import (
    SILENT,
    TIMEOUT_S,
    UNREADABLE,
    Answer,
    post_or_shorten,
    proxy_for,
    refused,
    settled,
)


class SlackWebhook:
    """Posts into the one channel the webhook was made for; every message is a new one."""

    channel = "webhook"

    def __init__(self, url: str, *, timeout_s: int = TIMEOUT_S) -> None:
        self._client = WebhookClient(url, timeout=timeout_s, logger=SILENT, retry_handlers=[])

    async def send(
        self,
        message: Message,
        *,
        reference: str | None = None,
        reply: Message | None = None,
        quiet: bool = False,
    ) -> Delivery:
        """Tell a new message; what would only edit or reply is for channels that can."""
        return Sent() if quiet else await settled(post_or_shorten(self._post, message))

    async def check(self) -> ChannelCheck:
        """Say that nothing can be known: the only question a webhook takes is a message."""
        return ChannelCheck(None, "a webhook cannot be checked without sending: monitor test-alert")

    def _post(self, message: Message) -> Answer:
        payload: dict[str, object] = {
            "text": message.text,
            "mrkdwn": False,
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if message.blocks:
            payload["blocks"] = [dict(block) for block in message.blocks]
        self._client.proxy = proxy_for(self._client.url)
        reply = self._client.send_dict(payload)
        if reply.status_code != 200:
            return refused(reply.status_code, reply.body, reply.headers)
        # Anything but ok is somebody else's page, whatever words stand on it.
        return Sent() if reply.body.strip() == "ok" else UNREADABLE
