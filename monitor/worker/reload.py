"""A changed configuration: read again, compared, and applied to a running worker, or refused."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from monitor import identity
from monitor.config import ConfigErrors, Settings, load
from monitor.domain import ALL, Finding, Notice, NoticeStatus, Severity
from monitor.pricing.book import price_book
from monitor.storage import DatabaseUnavailable, outbox
from monitor.tokenizers import BadTokenizer, Counter, counter
from monitor.worker.context import WorkerContext

log = logging.getLogger(__name__)

RULE = "configuration"
LOOK_S = 2.0  # between two looks at the file; a change counts when it is the same at the next
MOST_SHOWN, MOST_LOGGED = 5, 100  # faults in a message, and in the log
AT_START = ("metrics", "channels")  # sections that are opened once, when the worker starts

FileState = tuple[int, int, int]


def file_state(path: Path) -> FileState | None:
    """What changes when the file is written or replaced; None where it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


async def reread(context: WorkerContext) -> Settings | None:
    """The settings as they are now; None, with a notice for `announce`, where they are refused."""
    context.state.refusal = None
    try:
        settings = await asyncio.to_thread(load)
    except ConfigErrors as refused:
        faults = [str(fault) for fault in refused.faults]
    else:
        context.state.refused = None
        return settings
    listed = [
        *faults[:MOST_LOGGED],
        *([f"and {more} more"] if (more := len(faults) - MOST_LOGGED) > 0 else []),
    ]
    log.error("configuration refused", extra={"source": context.settings.source, "faults": listed})
    context.state.refusal = _refusal(context, faults)
    context.state.refused = f"{context.state.refusal.sentence} First error: {faults[0]}"
    return None


async def announce(context: WorkerContext) -> bool:
    """Queue the notice of a refusal, once the database can be used; True when it was queued."""
    notice = context.state.refusal
    if notice is None or context.database.closed is not None:
        return False
    with suppress(DatabaseUnavailable):
        async with context.database.begin() as connection:
            await outbox.add(connection, notice, incident=None, channels=context.takers(notice))
        context.state.refusal = None
        return True
    return False


def applied(context: WorkerContext, settings: Settings) -> WorkerContext:
    """The worker's edges with other settings. Channels stay: they are opened at the start."""
    before = context.settings
    for name in {*before.targets, *settings.targets}:
        if before.targets.get(name) != settings.targets.get(name):
            context.state.identity.forget(name)
            context.state.configured_s[name] = time.monotonic()
    context.metrics.configure(
        settings.targets.values(), rules=settings.rules, config_hash=settings.config_hash
    )
    return replace(
        context,
        settings=replace(settings, channels=before.channels),
        book=price_book(settings.file.prices, same=identity.same),
        counters=counters(settings),
    )


def counters(settings: Settings) -> dict[str, Counter]:
    """The tokenizers that can be read; the worker goes on without the others, saying so."""
    found: dict[str, Counter] = {}
    for model, section in settings.file.tokenizers.items():
        try:
            found[model] = counter(section.file, pattern=section.pattern)
        except BadTokenizer as reason:
            log.warning("tokenizer unusable", extra={"model": model, "reason": str(reason)})
    return found


def changes(before: Settings, after: Settings) -> list[str]:
    """What differs, a short line each, without any value that may be a secret."""
    return [
        *_of_tables("target", before.targets, after.targets, shown=()),
        *_of_tables("rule", before.rules, after.rules, shown=None),
        *_of_sections(before, after),
    ]


def _of_tables(
    what: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    shown: tuple[str, ...] | None,
) -> Iterator[str]:
    """Added, removed and changed entries; `shown`: fields whose values are named, None for all."""
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"{what} {name} added"
        elif name not in after:
            yield f"{what} {name} removed"
        elif before[name] != after[name]:
            old, new = before[name], after[name]
            differ = [f.name for f in fields(old) if getattr(old, f.name) != getattr(new, f.name)]
            changed_fields = [
                f"{field} {getattr(old, field)} → {getattr(new, field)}"
                if shown is None or field in shown
                else field
                for field in differ
            ]
            yield f"{what} {name}: {', '.join(changed_fields)} changed"


def _of_sections(before: Settings, after: Settings) -> Iterator[str]:
    """Other sections of the file that changed."""
    for section in type(before.file).model_fields:
        same = getattr(before.file, section) == getattr(after.file, section)
        if same or section in ("targets", "rules"):
            continue
        late = "; it takes effect when the worker is restarted" if section in AT_START else ""
        yield f"{section} changed{late}"
    if before.health != after.health:
        yield "health pages changed"


def _refusal(context: WorkerContext, faults: list[str]) -> Notice:
    """One notice for the same faults, however many workers and signals there are, once a day."""
    now, source = context.now(), context.settings.source
    which = hashlib.sha256("\n".join(faults).encode()).hexdigest()
    count = f"{len(faults)} error{'s' * (len(faults) != 1)}"
    sentence = (
        f"The changed configuration ({source}) was refused: {count}. "
        "The earlier configuration stays in force."
    )
    listed = faults[:MOST_SHOWN]
    if len(faults) > MOST_SHOWN:
        listed.append(f"and {len(faults) - MOST_SHOWN} more: see the worker's log")
    return Notice(
        id=uuid5(NAMESPACE_URL, f"configuration {source} {which} {now:%Y-%m-%d}"),
        status=NoticeStatus.NOTICE,
        rule=RULE,
        scope=ALL,
        sentence=sentence,
        at=now,
        facts={
            **{f"Error {n}": fault for n, fault in enumerate(listed, start=1)},
            "Worker": context.worker,
        },
        severity=Severity.WARN,
        finding=Finding(
            what=f"the changed configuration was refused: {count}",
            extent="The earlier configuration stays in force",
            first_step=f"Correct {source} and run `monitor check`. The worker reads it again.",
        ),
    )
