"""The health job: read what a target says of its own health, judge it, keep what changed."""

import logging
from urllib.parse import urlsplit

from monitor.addresses import shown
from monitor.domain import Target
from monitor.health_page import HealthPage, statement
from monitor.probing.fetch import fetch
from monitor.redaction import redact, storable
from monitor.storage import health_readings
from monitor.worker import lease_keeper
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

PATIENCE_S = 10


async def read_health_page(context: WorkerContext, target: Target, page: HealthPage) -> bool:
    """Read one page once; True when it says something new. Raises Away.

    One worker reads a page: two that see it differently would tell of changes all day.
    """
    url = shown(page.url)  # of a token in the address nothing is stored
    async with context.database.begin() as connection:
        span, name = 2 * page.every, f"health {target.name} {url}"
        taken_over = not lease_keeper.held(context, name)
        if await lease_keeper.hold(context, connection, name, keep=span) is None:
            return False
        age = page.every / 2
        if taken_over and await health_readings.checked_since(connection, target.name, url, age):
            return False  # the worker before us read it: restarts do not multiply requests
    reply = await fetch(page.url, headers=page_headers(target, page), timeout_s=PATIENCE_S,
                        target=target)  # fmt: skip
    reported = statement(page, http_status=reply.status, document=reply.json)
    facts = {
        name: storable(redact(value, context.settings.secrets)) if isinstance(value, str) else value
        for name, value in reported.facts.items()
    }
    async with context.database.begin() as connection:
        changed = await health_readings.keep(
            connection, target.name, url, at=context.now(), http_status=reported.http_status,
            healthy=reported.healthy, unmet=reported.unmet, facts=facts,
        )  # fmt: skip
    if changed:
        log.info("health page changed", extra={"target": target.name, "url": url,
                                               "healthy": reported.healthy, "unmet": reported.unmet,
                                               "why": reply.error})  # fmt: skip
    return changed


def page_headers(target: Target, page: HealthPage) -> dict[str, str]:
    """The target's own headers, which may hold keys, for pages of the same place alone."""
    there, here = urlsplit(page.url), urlsplit(target.url)
    same = (there.scheme, there.netloc) == (here.scheme, here.netloc)
    return dict(target.headers) if same else {}
