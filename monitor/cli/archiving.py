"""`monitor export --follow`: years of raw rows, one Parquet file for each hour of slots (UTC).

    FOLDER/day=2026-11-30/hour=12/part-0.parquet

An hour is written when it is over, and again as a whole when rows of it were stored or derived
again later. A file is replaced in one step, so that readers see the hour before or after, and a
command that is killed at any point continues where it stopped. Rows that retention has deleted
stay in the files. Answers' excerpts are left out: they may be kept for days only.
"""

import fcntl
import heapq
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from monitor.cli.exporting import ParquetColumns
from monitor.cli.startup import (
    BAD_INPUT,
    configuration,
    database_url,
    private_file,
    sentence,
    stop,
    unreachable,
)
from monitor.config import Settings
from monitor.storage import DatabaseUnavailable, explained
from monitor.storage.report_queries import (
    PAGE,
    ArchiveLook,
    HourSignature,
    changed_hours,
    hour_rows,
    hour_signature,
    look,
    next_hour,
)

EVERY_S = 60.0
HOUR = timedelta(hours=1)
PAGES_A_GROUP = 16  # rows are compressed and held in memory in groups of so many pages
LEFT_OUT = ("answer_excerpt",)
_STATE, _LOCK, _FILE = "_archive.json", "_archive.lock", "part-0.parquet"
_SIGNATURE = b"rag_monitor.signature"


def follow(folder: Path, *, since: timedelta | None, once: bool) -> None:
    """Keep the archive in a folder up to date until SIGTERM; `once`: until it is.

    `since` limits a new archive only. Without the database or space on the disk, it tries again.
    """
    parquet = ParquetColumns()
    settings = configuration(without_secrets=True)
    with _ended_by_sigterm(), _locked(folder), database_url(settings) as url:
        archive = HourArchive(folder, url, parquet, since=since)
        first = True
        while True:
            try:
                archive.catch_up()
            except Exception as error:
                unavailable = isinstance(error, DatabaseUnavailable | OSError)
                if not unavailable and (first or explained(error) is None):
                    raise
                if once:
                    stop(_reason(settings, url, error))
                _say(f"{_reason(settings, url, error)} Trying again in {EVERY_S:g} s.")
            if once:
                ends = archive.state and _instant(archive.state.written_until)
                print(  # noqa: T201
                    f"{archive.rows} observations in {archive.hours} hours written; "
                    + (f"the archive ends at {ends}" if ends else "no hour is over yet")
                )
                return
            first = False
            time.sleep(EVERY_S)


def _reason(settings: Settings, url: str, error: Exception) -> str:
    if isinstance(error, DatabaseUnavailable):
        return f"{unreachable(settings, url, error)}."
    return f"{sentence(error)}."


def _say(text: str) -> None:
    print(f"monitor: {text}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the body as an ordinary exit does: what was begun is removed."""

    def leave(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder, for this process alone. The lock ends with the process."""
    if folder.exists() and not folder.is_dir():
        stop(f"{folder} is a file: --follow needs a folder", BAD_INPUT)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stop(f"another `monitor export --follow` writes to {folder}", BAD_INPUT)
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveState:
    """How far an archive reaches. It is stored after what it promises is on the disk.

    Hours before `begins_at` (None: there is no limit) are not in it. Hours before `written_until`
    were written. Changes that were stored before `seen_until` are in them.
    """

    begins_at: datetime | None
    written_until: datetime
    seen_until: datetime


class _FileDamaged(Exception):
    """A Parquet file that cannot be read."""


@contextmanager
def _damage_named() -> Iterator[None]:
    """What Arrow raises for content: its OSError has no number, unlike those of the system."""
    try:
        yield
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _FileDamaged(str(error)) from error


class HourArchive:
    """The files of a folder, and what of the database is not in them yet."""

    def __init__(
        self, folder: Path, url: str, parquet: ParquetColumns, *, since: timedelta | None = None
    ) -> None:
        self._folder, self._url, self._parquet, self._since = folder, url, parquet, since
        self.state = _stored_state(folder)
        self.hours, self.rows = 0, 0  # written by this process

    def catch_up(self) -> None:
        """Write every hour that is over or changed. Raises DatabaseUnavailable, OSError."""
        found = look(self._url)
        state = self.state or self._begun(found)
        if state is None:
            return
        until = state.written_until
        for hour in changed_hours(self._url, since=state.seen_until, before=until):
            if state.begins_at is None or hour >= state.begins_at:
                self._write_if_changed(hour)
        self._keep(state := replace(state, seen_until=found.now))
        while hour_after := next_hour(self._url, since=until, before=found.closed_until):
            self._write_if_changed(hour_after)
            until = hour_after + HOUR
            self._keep(state := replace(state, written_until=until))

    def _begun(self, found: ArchiveLook) -> ArchiveState | None:
        """The state of a new archive, from the first hour that is over; None: there is none yet."""
        begins_at = None if self._since is None else _hour_of(found.now - self._since)
        first = next_hour(self._url, since=begins_at, before=found.closed_until)
        if first is None:
            return None
        return ArchiveState(begins_at=begins_at, written_until=first, seen_until=found.now)

    def _keep(self, state: ArchiveState) -> None:
        if state == self.state:
            return
        text = {"version": 1} | {
            field.name: _instant(getattr(state, field.name)) for field in fields(state)
        }
        _replace(self._folder / _STATE, lambda file: file.write(json.dumps(text).encode()))
        self.state = state

    def _write_if_changed(self, hour: datetime) -> None:
        """A damaged file is set aside: what only it has is not lost, and no other hour waits."""
        path = hour_file(self._folder, hour)
        if path.exists():
            try:
                with self._opened(path) as before:
                    known = (before.metadata.metadata or {}).get(_SIGNATURE, b"").decode()
                    if known != hour_signature(self._url, hour):
                        self._write(hour, path, before)
            except _FileDamaged as damage:
                aside = path.with_name(f"{_FILE}.damaged")
                path.replace(aside)
                _say(f"{path} is damaged ({damage}): kept as {aside.name}, and written again")
        if not path.exists():
            self._write(hour, path, None)

    def _opened(self, path: Path) -> Any:
        """The file as it was written before. Raises _FileDamaged."""
        with _damage_named():
            return self._parquet.files.ParquetFile(path)

    def _write(self, hour: datetime, path: Path, before: Any) -> None:
        """Write the rows of the database, and those of the file before that it no longer has."""
        there = path.parent
        while not there.exists():
            there = there.parent
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with hour_rows(self._url, hour) as stream:
            count = _replace(path, lambda file: self._fill(file, stream, before))
        for parent in (path.parent, *path.parent.parents):  # new names, up to the folder that was
            _sync_folder(parent)
            if parent == there:
                break
        self.hours, self.rows = self.hours + 1, self.rows + count
        again = " again" if before is not None else ""
        _say(f"wrote {path.parent.relative_to(self._folder)}{again}: {count} observations")

    def _fill(self, file: Any, stream: Any, before: Any) -> int:
        every = self._parquet.fields(stream.names, stream.types)
        places = [n for n, name in enumerate(stream.names) if name not in LEFT_OUT]
        fields = [every[n] for n in places]
        names = [field.name for field in fields]
        if before is not None:  # a column that the database no longer has stays
            fields += [field for field in before.schema_arrow if field.name not in names]
        padding = (None,) * (len(fields) - len(names))
        signature = HourSignature(stream.names)

        def stored() -> Iterator[tuple[Any, ...]]:
            for page in stream.pages:
                for row in page:
                    signature.add(row)
                    yield (*(row[n] for n in places), *padding)

        schema, count = self._parquet.arrow.schema(fields), 0
        slot, key = names.index("slot"), names.index("id")
        rows = _merged(
            stored(), _rows(before, schema.names), lambda row: (row[slot], str(row[key]))
        )
        with self._parquet.files.ParquetWriter(file, schema, compression="zstd") as writer:
            batches = []
            for page in _pages(rows):
                batches.append(self._parquet.batch(fields, page))
                count += len(page)
                if len(batches) == PAGES_A_GROUP:
                    writer.write_table(self._parquet.arrow.Table.from_batches(batches, schema))
                    batches = []
            if batches:
                writer.write_table(self._parquet.arrow.Table.from_batches(batches, schema))
            writer.add_key_value_metadata({_SIGNATURE.decode(): str(signature)})
        return count


def hour_file(folder: Path, hour: datetime) -> Path:
    """The file of an hour, in the manner of Hive: readers know day and hour as columns."""
    at = hour.astimezone(UTC)
    return folder / f"day={at:%Y-%m-%d}" / f"hour={at:%H}" / _FILE


def _hour_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


def _rows(file: Any, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows of a file with these columns, None where it lacks one; none without a file."""
    if file is None:
        return
    batches = file.iter_batches(batch_size=PAGE)
    while True:
        with _damage_named():
            batch = next(batches, None)
        if batch is None:
            return
        there = batch.schema.names
        columns = [
            batch.column(name).to_pylist() if name in there else [None] * batch.num_rows
            for name in names
        ]
        yield from zip(*columns, strict=True)


def _merged(
    new: Iterator[tuple[Any, ...]],
    old: Iterator[tuple[Any, ...]],
    key: Callable[[tuple[Any, ...]], Any],
) -> Iterator[tuple[Any, ...]]:
    """Both in their order, each row once: where both have it, the new one."""
    latest = None
    for row in heapq.merge(new, old, key=key):  # of equal rows, the first one's come first
        if key(row) != latest:
            latest = key(row)
            yield row


def _pages(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while page := list(islice(rows, PAGE)):
        yield page


def _replace(path: Path, fill: Callable[[Any], int]) -> int:
    """Write a file that is there as a whole, or as it was before, also after a power failure."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)  # of a process that was killed
    try:
        with private_file(part, becomes=path) as file:
            result = fill(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return result


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stored_state(folder: Path) -> ArchiveState | None:
    """The state of an archive; None for a new one. Ends the command where it is damaged."""
    path = folder / _STATE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] != 1:
            stop(f"{path} was written by a newer version of rag-monitor: run that one", BAD_INPUT)
        return ArchiveState(
            begins_at=found["begins_at"] and datetime.fromisoformat(found["begins_at"]),
            written_until=datetime.fromisoformat(found["written_until"]),
            seen_until=datetime.fromisoformat(found["seen_until"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        stop(
            f"{path} is damaged: delete it. Every hour is then compared with the database, and "
            "written again where it differs",
            BAD_INPUT,
        )
