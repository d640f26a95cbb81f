"""Channels that notify people. A notifier receives a `Notice` and renders it in its own medium.

A notifier decides which failures are final; when to try again is the outbox's.
"""

from collections.abc import Iterator, Mapping

from monitor.notifications.console import ConsoleNotifier
from monitor.notifications.notifier import (
    ChannelCheck,
    Notifier,
    NotifierVariable,
    VariableKind,
)
from monitor.notifications.slack.bot import SlackBot
from monitor.notifications.slack.webhook import SlackWebhook

__all__ = [
    "NOTIFIERS",
    "ChannelCheck",
    "ConsoleNotifier",
    "Notifier",
    "NotifierVariable",
    "SlackBot",
    "SlackWebhook",
    "VariableKind",
    "configured",
    "incomplete",
    "setup",
    "variables",
]

# Every notifier, in order of preference. The first that is configured is used; the last needs
# no configuration.
NOTIFIERS: tuple[type[Notifier], ...] = (
    SlackBot,
    SlackWebhook,
    ConsoleNotifier,
)


def configured(environment: Mapping[str, str]) -> Notifier:
    """The most preferred notifier whose variables are set."""
    for kind in NOTIFIERS:
        if (notifier := kind.from_environment(environment)) is not None:
            return notifier
    return ConsoleNotifier()


def variables() -> Iterator[NotifierVariable]:
    """Every variable that a notifier reads, in order of preference."""
    for kind in NOTIFIERS:
        yield from kind.variables


def incomplete(environment: Mapping[str, str]) -> list[str]:
    """Variables that are set, but belong to a notifier that lacks others."""
    return [
        variable.name
        for kind in NOTIFIERS
        if kind.from_environment(environment) is None
        for variable in kind.variables
        if variable.name in environment and variable.required
    ]


def setup() -> str:
    """The variables that configure a notifier, as a person reads them."""
    alternatives = (
        " and ".join(variable.name for variable in kind.variables if variable.required)
        for kind in NOTIFIERS
    )
    return ", or ".join(filter(None, alternatives))
