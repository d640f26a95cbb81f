"""The health job: read what a target says of its own health, judge it, keep what changed."""

import logging
from urllib.parse import urlsplit

from monitor.addresses import shown
from monitor.domain import Target
from monitor.health import HealthPage, statement
from monitor.jobs import holding
from monitor.jobs.watch import Watch
from monitor.scrub import redact, storable
from monitor.store import health
from monitor.wire.fetch import fetch

log = logging.getLogger(__name__)

PATIENCE_S = 10


async def read(watch: Watch, target: Target, page: HealthPage) -> bool:
    """Read one page once; True when it says something new. Raises Away.

    One worker reads a page: two that see it differently would tell of changes all day.
    """
    url = shown(page.url)  # of a token in the address nothing is stored
    async with watch.database.begin() as connection:
        span, name = 2 * page.every, f"health {target.name} {url}"
        taken_over = not holding.held(watch, name)
        if await holding.hold(watch, connection, name, keep=span) is None:
            return False
        age = page.every / 2
        if taken_over and await health.checked_since(connection, target.name, url, age):
            return False  # the worker before us read it: restarts do not multiply requests
    reply = await fetch(page.url, headers=page_headers(target, page), timeout_s=PATIENCE_S,
                        target=target)  # fmt: skip
    said = statement(page, http_status=reply.status, document=reply.json)
    facts = {
        name: storable(redact(value, watch.settings.secrets)) if isinstance(value, str) else value
        for name, value in said.facts.items()
    }
    async with watch.database.begin() as connection:
        changed = await health.keep(
            connection, target.name, url, at=watch.now(), http_status=said.http_status,
            healthy=said.healthy, unmet=said.unmet, facts=facts,
        )  # fmt: skip
    if changed:
        log.info("health page changed", extra={"target": target.name, "url": url,
                                               "healthy": said.healthy, "unmet": said.unmet,
                                               "why": reply.trouble})  # fmt: skip
    return changed


def page_headers(target: Target, page: HealthPage) -> dict[str, str]:
    """The target's own headers, which may hold keys, for pages of the same place alone."""
    there, here = urlsplit(page.url), urlsplit(target.url)
    same = (there.scheme, there.netloc) == (here.scheme, here.netloc)
    return dict(target.headers) if same else {}
