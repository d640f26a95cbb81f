"""Channels that notify people. A notifier receives a `Notice` and renders it in its own medium.

A notifier decides which failures are final. The outbox decides when to try again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from monitor.notifications.apprise_address import AppriseOptions
from monitor.notifications.channel import (
    DEFAULT,
    Channel,
    ChannelFilter,
    ConfiguredChannel,
)
from monitor.notifications.console import ConsoleNotifier, ConsoleOptions
from monitor.notifications.notifier import (
    ChannelCheck,
    ChannelOptions,
    ChannelVariable,
    Notifier,
    OptionKind,
)
from monitor.notifications.signed_webhook import WebhookOptions
from monitor.notifications.slack.options import SlackOptions

__all__ = [
    "DEFAULT",
    "NOTIFIERS",
    "Channel",
    "ChannelCheck",
    "ChannelFilter",
    "ChannelOptions",
    "ChannelVariable",
    "ConfiguredChannel",
    "ConsoleNotifier",
    "ConsoleOptions",
    "Notifier",
    "OptionKind",
    "incomplete",
    "setup",
    "unheard",
    "usual",
    "variables",
]

# Every kind of channel. The console needs no configuration.
NOTIFIERS: Mapping[str, type[ChannelOptions]] = {
    options.kind: options
    for options in (
        SlackOptions,
        WebhookOptions,
        AppriseOptions,
        ConsoleOptions,
    )
}


def from_environment(environment: Mapping[str, str]) -> ChannelOptions | None:
    """The channel that the variables describe; None if they describe none."""
    found = (options.from_environment(environment) for options in NOTIFIERS.values())
    return next((options for options in found if options is not None), None)


def usual(
    environment: Mapping[str, str], configured: Sequence[ConfiguredChannel]
) -> Iterator[ConfiguredChannel]:
    """The channels besides those of the file.

    That of the environment, unless a section uses it; the console if there is no other channel.
    """
    options = from_environment(environment)
    if options is not None and options not in [channel.options for channel in configured]:
        yield ConfiguredChannel(name=DEFAULT, options=options)
    elif not configured:
        yield ConfiguredChannel(name=ConsoleOptions.kind, options=ConsoleOptions())


def unheard(channels: Iterable[ConfiguredChannel]) -> bool:
    """Whether messages of all these channels reach nobody."""
    return not any(channel.opened().notifier.reaches_people for channel in channels)


def variables() -> Iterator[tuple[type[ChannelOptions], ChannelVariable]]:
    """Every variable that describes a channel, with the kind of channel."""
    for options in NOTIFIERS.values():
        for variable in options.variables:
            yield options, variable


def incomplete(environment: Mapping[str, str]) -> list[str]:
    """Variables that are set, but belong to a channel that lacks others."""
    return [
        variable.name
        for options, variable in variables()
        if options.from_environment(environment) is None
        and variable.name in environment
        and options.defaults()[variable.option] is None
    ]


def setup() -> str:
    """The variables that describe a channel, for a message."""
    return ", or ".join(filter(None, (options.setup for options in NOTIFIERS.values())))
