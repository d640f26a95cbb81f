"""Which canned queries usually have retrieved sources, from the answers of a target so far.

An answer whose sources are lost ("I found nothing about that") is written differently by the same
model. It says nothing about a change of model, so its writing style is not compared.
Source: docs/fingerprints.md#lost-sources
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

LOOKED_AT = 24  # latest answers to a query
FEWEST = 6  # of these, before anything is usual
USUAL = 0.75  # share of answers with sources from which one without them is unusual
LASTS = timedelta(days=7)  # after so long, answers without sources are the usual ones


@dataclass(frozen=True, slots=True)
class QuerySources:
    """Which of the latest answers to a query had sources, oldest first: `1` or `0` for each.

    `latest`: when the last one had some. Answers that lost their sources are not among them.
    """

    query: str
    marks: str
    latest: datetime
    gone: bool = False  # the latest answer lost its sources

    def lost(self, sources: int | None, *, at: datetime) -> bool:
        """Whether an answer with this number of sources lost them. None: it lists none."""
        usual = len(self.marks) >= FEWEST and self.marks.count("1") >= USUAL * len(self.marks)
        return not sources and usual and abs(at - self.latest) < LASTS  # the clock may step back

    def after(self, sources: int | None, *, at: datetime) -> Self:
        """The state after one more answer, which has not lost its sources."""
        marks = (self.marks + ("1" if sources else "0"))[-LOOKED_AT:]
        earlier = self.latest - LASTS < at < self.latest
        latest = at if sources and not earlier else self.latest
        return replace(self, marks=marks, latest=latest, gone=False)


def lost_sources(
    known: Sequence[QuerySources], query: str, sources: int | None, *, at: datetime
) -> bool:
    """Whether an answer to the query has no sources although such answers usually have some."""
    return any(one.lost(sources, at=at) for one in known if one.query == query)


def after_answer(
    known: Sequence[QuerySources], query: str, sources: int | None, *, at: datetime
) -> tuple[QuerySources, ...]:
    """What is known after an answer. A query is known from its first answer with sources on."""
    found = next((one for one in known if one.query == query), None)
    if found is None:
        return (*known, QuerySources(query, "1", at)) if sources else tuple(known)
    new = replace(found, gone=True) if found.lost(sources, at=at) else found.after(sources, at=at)
    return tuple(new if one is found else one for one in known)
