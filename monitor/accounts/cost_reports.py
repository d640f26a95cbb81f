"""Cost reports in daily buckets, page after page: how Anthropic and OpenAI both tell them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from monitor.accounts.provider_fields import table, tables, text_of
from monitor.accounts.replies import JsonGetter, failing, refusal
from monitor.domain import AccountReading

MOST_PAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """A paged report to be asked for. `headers` hold the key."""

    provider: str
    url: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)


async def items(
    get: JsonGetter, report: CostReport, *, at: datetime
) -> list[Mapping[str, Any]] | AccountReading:
    """Every result of every bucket, or the reading that tells why they cannot be had.

    A reply that merely lacks its list is no empty report: it would read as nothing spent.
    """
    found: list[Mapping[str, Any]] = []
    page: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        url = f"{report.url}?{urlencode({**report.parameters, **page})}"
        answer = await get(url, headers=report.headers)
        refused = refusal(report.provider, answer, at)
        if refused is not None:
            return refused
        body = table(answer.json) or {}
        results = _results(body)
        if results is None or type(body.get("has_more")) is not bool:
            return failing(report.provider, at, "the report is not in the form documented")
        found += results
        if not body["has_more"]:
            return found
        following = text_of(body.get("next_page"))
        if following is None or following == page.get("page"):
            break
        page = {"page": following}
    return failing(report.provider, at, "the report does not end")


def _results(body: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    buckets = tables(body.get("data"))
    if buckets is None:
        return None
    found = [tables(bucket.get("results")) for bucket in buckets]
    if None in found:
        return None
    return [item for results in found for item in results or ()]
