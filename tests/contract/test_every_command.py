"""Every command in every bad state ends with a sentence and its remedy, never with a traceback.

The commands come from the program: a new one is tried without being named here.
"""

import resource
import socketserver
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from monitor.cli import run as running
from tests.contract.cli import APART, Ended, commands, every_third, run
from tests.contract.test_roles import plain

COMMANDS = [command for command in commands() if command not in APART]
CONFIGURATION = """
[targets.rag]
url = "http://127.0.0.1:9"
dialect = "bali_zero"
expected_models = ["meta-llama/llama-4-scout"]
[[targets.rag.queries]]
id = "hi"
text = "Hi"
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` waits for a schema that may come: not here."""
    monkeypatch.setattr(running, "SCHEMA_WAIT_S", 0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("commands")
    (place / "monitor.toml").write_text(CONFIGURATION)
    return place


def ends_well(ended: Ended, *, failing: bool | None = None) -> None:
    """No exception left, nothing looks like a traceback, and what failed says so in words."""
    assert ended.error is None, repr(ended.error)
    for sign in ("Traceback (most recent", 'File "', "sqlalche.me", "unexpected error"):
        assert sign not in ended.said, ended.said
    assert "Missing argument" not in ended.said, "add it to cli.ARGUMENTS"
    assert "Missing option" not in ended.said, "add it to cli.ARGUMENTS"
    if ended.status:
        assert ended.said.strip()
    if failing is not None:
        assert (ended.status != 0) is failing, ended.said


class _OldServer(socketserver.StreamRequestHandler):
    """Speaks as much of the protocol as it takes to say that it is PostgreSQL 9.6."""

    def handle(self) -> None:
        while True:
            size, code = struct.unpack("!ii", self.rfile.read(8))
            self.rfile.read(size - 8)
            if code not in (80877103, 80877104):
                break
            self.wfile.write(b"N")
        self._send(b"R", struct.pack("!i", 0))
        for name, value in (("server_version", "9.6.24"), ("client_encoding", "UTF8"),
                            ("standard_conforming_strings", "on")):  # fmt: skip
            self._send(b"S", f"{name}\0{value}\0".encode())
        self._send(b"Z", b"I")
        while kind := self.rfile.read(1):
            (size,) = struct.unpack("!i", self.rfile.read(4))
            self.rfile.read(size - 4)
            if kind in (b"Q", b"S"):
                fields = b"SERROR\0C42704\0Munrecognized configuration parameter\0\0"
                if kind == b"Q" or kind == b"S":
                    self._send(b"E", fields)
                self._send(b"Z", b"I")
            elif kind == b"X":
                return

    def _send(self, kind: bytes, body: bytes) -> None:
        self.wfile.write(kind + struct.pack("!i", len(body) + 4) + body)


@pytest.fixture(scope="module")
def old_server() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OldServer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"postgresql://u@127.0.0.1:{server.server_address[1]}/d"
        server.shutdown()


@pytest.fixture(scope="module")
def databases(server_url: str, template: str, old_server: str) -> Iterator[dict[str, str]]:
    """An address for each bad state of a database, made once."""
    names = {
        "not migrated": "TEMPLATE template0",
        "foreign": f'TEMPLATE "{template}"',
        "other major": f'TEMPLATE "{template}"',
        "newer": f'TEMPLATE "{template}"',
        "half": f'TEMPLATE "{template}"',
        "read-only": f'TEMPLATE "{template}"',
        "no privileges": f'TEMPLATE "{template}"',
        "reader": f'TEMPLATE "{template}"',
        "SQL_ASCII": "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc",
        "LATIN1": "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc",
    }
    made = {}
    admin = psycopg.connect(plain(server_url), autocommit=True)
    for number, (state, options) in enumerate(names.items()):
        name = f"bad_{number}_{make_url(server_url).port or 0}"
        admin.execute(f'DROP DATABASE IF EXISTS "{name}"')  # type: ignore[arg-type]
        admin.execute(f'CREATE DATABASE "{name}" {options}')  # type: ignore[arg-type]
        made[state] = make_url(plain(server_url)).set(database=name)
    for role in ("nobody_here", "bad_reader"):
        admin.execute(f"DROP ROLE IF EXISTS {role}")  # type: ignore[arg-type]
        admin.execute(f"CREATE ROLE {role} LOGIN")  # type: ignore[arg-type]
    changes = {
        "foreign": "UPDATE monitor_alembic_version SET version_num = 'deadbeef'",
        "other major": "UPDATE monitor_alembic_version SET version_num = 'r2_0001'",
        "newer": "UPDATE monitor_alembic_version SET version_num = 'r1_9999'",
        "half": "DROP TABLE incidents CASCADE; DROP TABLE outbox CASCADE; "
                "DROP SCHEMA report CASCADE",
        "read-only": f'ALTER DATABASE "{made["read-only"].database}" SET '
                     "default_transaction_read_only = on",
        "reader": "GRANT USAGE ON SCHEMA report TO bad_reader; "
                  "GRANT SELECT ON ALL TABLES IN SCHEMA report TO bad_reader",
    }  # fmt: skip
    for state, change in changes.items():
        with psycopg.connect(made[state].render_as_string(False), autocommit=True) as owner:
            for statement in change.split("; "):
                owner.execute(statement)  # type: ignore[arg-type]
    made["no privileges"] = made["no privileges"].set(username="nobody_here")
    made["reader"] = made["reader"].set(username="bad_reader")
    addresses = {state: url.render_as_string(False) for state, url in made.items()}
    addresses["refused"] = "postgresql://u:s3cretword@127.0.0.1:1/d"
    addresses["no host"] = "postgresql://u:s3cretword@no.such.host.invalid/d"
    addresses["missing"] = make_url(plain(server_url)).set(database="nope").render_as_string(False)
    addresses["no role"] = make_url(plain(server_url)).set(username="nope").render_as_string(False)
    addresses["old server"] = old_server
    addresses["bad mode"] = "postgresql://u:s3cretword@127.0.0.1:1/d?sslmode=perhaps"
    addresses["bad certificate"] = (
        "postgresql://u@127.0.0.1:1/d?sslrootcert=/no/such&sslmode=verify-ca"
    )
    addresses["unescaped"] = "postgresql://u:p@ss:s3cretword@127.0.0.1:1/d"
    addresses["bad port"] = "postgresql://u@127.0.0.1:1x/d"
    addresses["unknown parameter"] = "postgresql://u@127.0.0.1/d?passwd=s3cretword"
    addresses["other scheme"] = "mysql://u:s3cretword@127.0.0.1/d"
    yield addresses
    for url in made.values():
        admin.execute(f'DROP DATABASE "{url.database}" WITH (FORCE)')  # type: ignore[arg-type]
    for role in ("nobody_here", "bad_reader"):
        admin.execute(f"DROP ROLE IF EXISTS {role}")  # type: ignore[arg-type]
    admin.close()


STATES = [
    "not migrated", "foreign", "other major", "newer", "half", "read-only", "no privileges",
    "reader", "SQL_ASCII", "LATIN1", "refused", "no host", "missing", "no role", "old server",
    "bad mode", "bad certificate", "unescaped", "bad port", "unknown parameter", "other scheme",
]  # fmt: skip
# `run` would live on in these, and is tried as a process elsewhere.
LIVES = {
    "not migrated", "newer", "half", "reader", "refused", "no host", "read-only",
    "bad certificate",
}  # fmt: skip


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("state", STATES)
def test_no_state_of_a_database_ends_a_command_in_a_traceback(
    home: Path, databases: dict[str, str], state: str, every: bool
) -> None:
    some = every_third(COMMANDS, STATES.index(state), "check", "migrate", "run")
    for command in COMMANDS if every else some:
        if command == "run" and state in LIVES:
            continue
        ended = run(command, home=home, DATABASE_URL=databases[state], LOG_LEVEL="INFO")
        try:
            ends_well(ended)
        except AssertionError as error_reason:
            raise AssertionError(f"{command}: {error_reason}") from None
        assert "s3cretword" not in ended.said, command
        if command in ("migrate", "check", "run") and state not in (
            "newer",
            "half",
            "not migrated",
        ):
            assert ended.status, f"{command} says that all is well: {ended.said}"


def _unreadable(path: Path) -> None:
    path.mkdir()


CONFIGURATIONS: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: None,
    "a directory": lambda path: path.mkdir(),
    "empty": lambda path: path.write_text(""),
    "not UTF-8": lambda path: path.write_bytes(b'\xff\xfe[targets.caf\xe9]\nurl = "\xe9"\n'),
    "UTF-16": lambda path: path.write_bytes(CONFIGURATION.encode("utf-16")),
    "syntax error": lambda path: path.write_text("[targets.rag\nurl ="),
    "twice": lambda path: path.write_text(CONFIGURATION + CONFIGURATION),
    "not tables": lambda path: path.write_text(
        "targets = 1\nrules = 2\nprices = 3\nmaintenance = 4"
    ),
    "deep": lambda path: path.write_text("a = " + "[" * 5000),
    "nul": lambda path: path.write_text(CONFIGURATION + "\0"),
    "odd lists": lambda path: path.write_text("[[targets]]\n[[rules]]\n[[prices]]\n[probes.x]\n"),
}


@pytest.mark.parametrize("state", CONFIGURATIONS)
def test_no_state_of_the_configuration_ends_a_command_in_a_traceback(
    tmp_path: Path, state: str
) -> None:
    CONFIGURATIONS[state](tmp_path / "monitor.toml")
    for command in COMMANDS:
        ended = run(command, home=tmp_path, DATABASE_URL="postgresql://u@127.0.0.1:1/d")
        alone = command == "backtest" and state == "missing"  # rows on standard input need none
        ends_well(ended, failing=not alone)
        if command != "backtest":
            assert "configuration error" in ended.err, f"{command}: {ended.said}"


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "monitor.toml").write_bytes(b"\xef\xbb\xbf" + CONFIGURATION.encode())
    ended = run("probe", home=tmp_path, DATABASE_URL="postgresql://u@127.0.0.1:1/d")
    assert "configuration error" not in ended.err


@pytest.mark.parametrize("state", ["a file", "not to be made", "below a file"])
def test_no_state_of_monitor_home_ends_a_command_in_a_traceback(tmp_path: Path, state: str) -> None:
    (tmp_path / "monitor.toml").write_text(CONFIGURATION)
    (tmp_path / "file").write_text("")
    place = {"a file": tmp_path / "file", "not to be made": Path("/proc/nowhere/state"),
             "below a file": tmp_path / "file" / "state"}[state]  # fmt: skip
    for command in COMMANDS:
        ended = run(command, home=tmp_path, MONITOR_HOME=str(place))
        ends_well(ended)
        if command in ("run", "check", "report", "incidents list", "export"):
            assert ended.status
            assert "MONITOR_HOME" in ended.said
        if command == "check":
            assert "FAULT   database: The embedded Postgres cannot use" in ended.out


class Full:
    """A standard output on a full disk."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise ValueError("no descriptor")

    @property
    def buffer(self) -> "Full":
        return self

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    closed = False

    def close(self) -> None:
        return None


def test_a_terminal_that_cannot_show_everything_ends_no_command_in_a_traceback(
    home: Path, database_url: str
) -> None:
    for command in COMMANDS:
        if command == "run":
            continue
        for encoding in ("ascii", "latin-1", "cp1252"):
            ended = run(command, home=home, DATABASE_URL=database_url, encoding=encoding,
                        HOME=None, COLUMNS="10", LANG="C", LC_ALL="C", USER=None,
                        LOGNAME=None)  # fmt: skip
            ends_well(ended)


def test_a_full_or_closed_output_ends_no_command_in_a_traceback(
    home: Path, database_url: str
) -> None:
    for command in COMMANDS:
        if command == "run":
            continue
        ended = run(command, home=home, DATABASE_URL=database_url, stdout=Full())
        ends_well(ended)
        if ended.status:
            assert "no space left" in ended.err or "monitor: " in ended.err, ended.err


@pytest.mark.parametrize("arguments", ["--help", "--version", "probe --help", "baseline --help"])
def test_help_on_a_full_disk_is_a_sentence(home: Path, arguments: str) -> None:
    ended = run(arguments, home=home, stdout=Full())
    ends_well(ended, failing=True)
    assert "no space left" in ended.err


FILES = (("report", "--html"), ("report", "--png"), ("export", "--out"), ("probe", "--record"))


@pytest.mark.parametrize(("command", "option"), FILES)
@pytest.mark.parametrize("place", ["full disk", "/proc/nowhere/file", "directory"])
def test_a_file_that_cannot_be_written_is_named(
    home: Path, tmp_path: Path, database_url: str, command: str, option: str, place: str
) -> None:
    path = {"directory": str(tmp_path), "full disk": str(tmp_path / "out")}.get(place, place)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if place == "full disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        ended = run(command, option, path, home=home, DATABASE_URL=database_url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    ends_well(ended, failing=True)
    assert path in ended.err


@pytest.mark.parametrize(("command", "option"), [f for f in FILES if f[1] != "--png"])
def test_files_with_answers_in_them_are_their_owners_alone(
    home: Path, tmp_path: Path, database_url: str, command: str, option: str
) -> None:
    path = tmp_path / "out"
    for _ in range(2):
        ended = run(command, option, str(path), home=home, DATABASE_URL=database_url)
        ends_well(ended, failing=command == "probe")  # nothing listens at the target's address
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)


def test_an_export_into_a_device_leaves_the_device(home: Path, database_url: str) -> None:
    ends_well(run("export", "--out", "/dev/null", home=home, DATABASE_URL=database_url),
              failing=False)  # fmt: skip
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("place", ["/proc/nowhere", "file", "file/below", "n" * 200])
def test_a_demo_without_a_usable_folder_ends_in_a_sentence(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / ("n" * 200)).mkdir()  # too long for the address of a socket
    (tmp_path / ("n" * 200)).chmod(0o600)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / place))
    ends_well(run("demo", home=tmp_path), failing=True)


@pytest.mark.parametrize("page", ["/proc/nowhere/page.html", "folder", "file/page.html"])
def test_a_demo_whose_page_cannot_be_written_does_not_begin(tmp_path: Path, page: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    ended = run("demo", "--html", str(tmp_path / page), home=tmp_path)
    ends_well(ended, failing=True)
    assert f"--html {tmp_path / page}: " in ended.err
    assert not ended.out


def test_only_commands_that_use_a_secret_need_it(database_url: str, tmp_path: Path) -> None:
    """A person at another machine reads the state with DATABASE_URL alone."""
    (tmp_path / "monitor.toml").write_text(
        CONFIGURATION
        + '[targets.rag.headers]\nAuthorization = "Bearer ${RAG_KEY}"\n'
        + '[[channels]]\nname = "pager"\nkind = "slack"\nwebhook_url = "${HOOK}"\n'
    )
    missing = "${RAG_KEY} is not set in the environment"
    needing = {"run", "probe", "compare", "baseline capture", "test-alert", "check"}
    for command in sorted({*COMMANDS} - {"backup", "restore"}):
        more = ("--once",) if command == "watch" else ()
        ended = run(command, *more, home=tmp_path, DATABASE_URL=database_url)
        ends_well(ended)
        assert (missing in ended.said) is (command in needing), (command, ended.said)
    ended = run("check", home=tmp_path, DATABASE_URL=database_url)
    assert "ok      schema" in ended.out, "the rest of it is checked"
    assert "FAULT   channels.0.webhook_url: ${HOOK} is not set" in ended.out
    muted = run("incidents mute", "--target", "pager", home=tmp_path, DATABASE_URL=database_url)
    assert muted.status == 0, muted.said
