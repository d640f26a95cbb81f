"""A real login over TCP: password, host, database and address family, each right and wrong."""

import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from monitor.cli import run as running_command
from monitor.embedded_postgres import run_as, running
from monitor.embedded_postgres.run_as import programs
from tests.contract.cli import commands, run
from tests.contract.test_every_command import CONFIGURATION, ends_well
from tests.contract.test_roles import plain

PASSWORD = "s3cret@w/rd"
HOSTS = ("127.0.0.1", "[::1]")
TRUSTED = "host all all all scram-sha-256\nlocal all all trust\n"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of a server on both loopback addresses that asks for passwords (SCRAM)."""
    with tempfile.TemporaryDirectory(prefix="login-", dir="/tmp") as place:
        home = Path(place)
        home.chmod(0o711)
        with running(home) as made, psycopg.connect(plain(made.url)) as owner:
            owner.execute(f"CREATE ROLE app LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
        data, port = home / "postgres", _free_port()
        (data / "pg_hba.conf").write_text(TRUSTED)
        command = run_as.owner_of_data(data).command(
            data, programs().postgres, "-D", str(data), "-k", str(data), "-p", str(port),
            "-c", "listen_addresses=127.0.0.1,::1", "-c", "fsync=off",
        )  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                _wait(f"postgresql://monitor@/monitor?host={quote(str(data))}&port={port}", process)
                yield port
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with suppress(psycopg.OperationalError):
            psycopg.connect(url).close()
            return
        assert process.poll() is None
        threading.Event().wait(0.1)
    raise AssertionError("the server did not start")


def address(port: int, *, password: str | None = PASSWORD, host: str = HOSTS[0],
            user: str = "app", database: str = "monitor") -> str:  # fmt: skip
    login = user if password is None else f"{user}:{quote(password, safe='')}"
    return f"postgresql://{login}@{host}:{port}/{database}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(running_command, "SCHEMA_WAIT_S", 0)
    (tmp_path / "monitor.toml").write_text(CONFIGURATION)
    return tmp_path


@pytest.mark.parametrize("host", HOSTS)
def test_the_right_password_opens_each_address(home: Path, server: int, host: str) -> None:
    for command in ("migrate", "check", "report", "incidents list"):
        ended = run(command, home=home, DATABASE_URL=address(server, host=host))
        ends_well(ended)
        assert "FAULT   database" not in ended.said
        assert "s3cret" not in ended.said
    assert ended.status == 0, ended.said


WRONG = {
    "password": ({"password": "other-s3cret"}, "password authentication failed"),
    "no password": ({"password": None}, "no password supplied"),
    "user": ({"user": "nobody"}, "password authentication failed"),
    "database": ({"database": "nope"}, 'database "nope" does not exist'),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("host", HOSTS)
def test_a_wrong_login_is_a_sentence_of_every_command(
    home: Path, server: int, what: str, host: str
) -> None:
    changes, reason = WRONG[what]
    url = address(server, host=host, **changes)  # type: ignore[arg-type]
    for command in commands() if host == HOSTS[0] else ("check", "migrate"):
        if command == "demo":
            continue
        ended = run(command, home=home, DATABASE_URL=url)
        ends_well(ended)
        assert "s3cret" not in ended.said, command
        if command in ("run", "check", "migrate", "report", "export", "incidents list", "derive"):
            assert ended.status, command
            assert reason in ended.said, f"{command}: {ended.said}"
            assert "DATABASE_URL" in ended.said, f"{command}: {ended.said}"
