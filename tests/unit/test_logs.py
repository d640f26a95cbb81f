"""Logs: one line of JSON whatever was said, without secrets and without control characters."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO

import pytest

from monitor.cli import startup

KEY = 'canary"ключ\\4711'


@contextmanager
def begun() -> Iterator[StringIO]:
    """What a process that has just begun to log writes on standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with redirect_stderr(StringIO()) as written:
        startup.begin("INFO", (KEY,))
        yield written
    root.handlers[:] = handlers
    root.setLevel(level)


def test_hostile_text_is_one_harmless_line() -> None:
    reported = 'a\nb\r\x1b[31m\x7f\x9b\u202e\u2028\ud800"\\'
    with begun() as written:
        logging.getLogger("monitor.x").warning(reported, extra={"why": reported})
    err = written.getvalue()
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert err[:-1].isascii()
    assert err[:-1].isprintable()
    line = json.loads(err)
    assert (line["event"], line["why"], line["level"]) == (reported, reported, "warning")


def test_no_secret_gets_out_by_words_facts_or_exceptions() -> None:
    with begun() as written:
        try:
            raise ValueError(f"refused {KEY}")
        except ValueError:
            logging.getLogger("monitor.x").exception("with %s", KEY, extra={"url": f"x?key={KEY}"})
    line = json.loads(written.getvalue())
    assert line["event"] == "with ***"
    assert line["url"] == "x?key=***"
    assert line["exception"].endswith("ValueError: refused ***")


@pytest.mark.parametrize("name", ["httpx", "httpcore", "slack_sdk", "sqlalchemy.engine"])
def test_libraries_that_print_addresses_keep_quiet(name: str) -> None:
    with begun() as written:
        for logger in (logging.getLogger(name), logging.getLogger(f"{name}.child")):
            logger.info("GET https://hooks.slack.com/services/T0/B0/secret")
        assert written.getvalue() == ""
        logging.getLogger(name).warning("trouble")
    assert json.loads(written.getvalue())["event"] == "trouble"
