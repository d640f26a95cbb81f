"""Files and readers that others control: a limit of size and time."""

import logging
import os
import threading
from pathlib import Path
from tempfile import mkdtemp

import pytest

from monitor import bounded_io
from monitor.cli.log_output import DROPPED, LogOutput
from monitor.config import ConfigErrors, load
from monitor.domain import Sent, TryLater
from monitor.notifications import ConsoleNotifier, console
from tests.case_tables import each
from tests.example_data import notice


def test_a_file_is_read_whole_and_a_larger_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 100_000)
    assert bounded_io.content(path, most=100_000) == path.read_bytes()
    with pytest.raises(OSError, match="more than 0 MiB"):
        bounded_io.content(path, most=99_999)


def test_a_pipe_is_read_while_somebody_writes_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="no end within 0"):
        bounded_io.content(path, within_s=0.1)
    writer = threading.Thread(target=path.write_bytes, args=(b"a" * 200_000,))
    writer.start()
    assert bounded_io.content(path, within_s=60) == b"a" * 200_000
    writer.join()


@each("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_a_configuration_that_is_no_file_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object
) -> None:
    monkeypatch.setattr(bounded_io, "READ_S", 0.1)
    path = Path(mkdtemp(dir=tmp_path)) / "monitor.toml"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigErrors) as refused:
        load({"MONITOR_CONFIG": str(path)})
    [fault] = refused.value.faults
    assert "cannot be read: " in str(fault)


def test_a_key_of_very_many_parts_needs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "monitor.toml"
    for part in ("a", '"a"', "'a b'"):
        path.write_text(f"{'.'.join([part] * 50_000)} = 1")
        with pytest.raises(ConfigErrors, match="a key has more than 32 parts"):
            load({"MONITOR_CONFIG": str(path)})


def test_a_reader_that_stalls_stops_no_writer() -> None:
    reading, writing = os.pipe()
    try:
        data = bytes(range(256)) * 4096
        taken = bounded_io.write(writing, data)
        assert 0 < taken < len(data)
        assert bounded_io.write(writing, data) == 0
        read = os.read(reading, len(data))
        assert read == data[: len(read)]
        assert bounded_io.write(writing, data) > 0
    finally:
        os.close(reading)
        os.close(writing)


def test_log_lines_that_nobody_reads_are_dropped_and_counted() -> None:
    reading, writing = os.pipe()
    try:
        output = LogOutput(writing, "ascii")
        output.setFormatter(
            logging.Formatter("%(levelname)s %(message)s %(count)s", defaults={"count": ""})
        )
        log = logging.Logger("test")
        log.addHandler(output)
        for number in range(10_000):
            log.warning("%05d é %s", number, "x" * 90)
        read = b""
        while b"dropped" not in read:
            read += os.read(reading, 1 << 20)
            log.warning("again")
        lines = read.decode("ascii").splitlines()
        first = [line for line in lines if " \\xe9 " in line]
        assert [line[8:13] for line in first] == [f"{n:05}" for n in range(len(first))]
        [dropped] = [line for line in lines if DROPPED in line]
        assert int(dropped.split()[-1]) >= 10_000 - len(first) > 0
    finally:
        os.close(reading)
        log.warning("gone")
        os.close(writing)


async def test_a_message_that_nobody_reads_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PATIENCE_S", 0.1)
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "w", encoding="utf-8") as printed:  # noqa: ASYNC230, PTH123
        notifier = ConsoleNotifier(printed)
        bounded_io.write(writing, b"x" * (1 << 20))
        assert isinstance(await notifier.send(notice()), TryLater)
        reader.read(1 << 16)
        assert await notifier.send(notice()) == Sent()
