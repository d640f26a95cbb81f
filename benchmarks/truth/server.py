"""The servers that know the truth: built from C, run for one run each, asked what was true."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TLS = Path(__file__).with_name("tls.c")
ARRIVALS = Path(__file__).with_name("arrivals.c")
WRAPPED = "-Wl,--wrap=read,--wrap=accept4"  # they pass through ARRIVALS
SHAPE = ("--ttft-ms", "300:1200", "--itl-ms", "30", "--role-ms", "0", "--usage", "1")
TOKENS, TOKENS_ALONE = 16, 4  # a single stream would take too long with all of them
PATIENCE_S = 10.0


class Unavailable(Exception):
    """Something that is needed is not there. Says what, and where to get it."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the server knows of one request, by CLOCK_MONOTONIC."""

    read_ns: int  # the last byte of the request was read
    first_ns: int  # just before the first content token was written
    arrived_ns: int | None = None  # the kernel had received that byte; None: it does not say

    @property
    def ttft_ms(self) -> float:
        return (self.first_ns - self.read_ns) / 1e6

    @property
    def late_ms(self) -> float:
        """How long the request lay there before the server read it, as far as is proven."""
        return 0.0 if self.arrived_ns is None else max(self.read_ns - self.arrived_ns, 0) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """The built servers. `tls` None: OpenSSL's headers are missing, so there is no TLS here."""

    home: Path
    plain: Path
    tls: Path | None
    real_time: bool

    @property
    def certificate(self) -> Path:
        """What clients must trust; it holds for 127.0.0.1."""
        return self.home / "certificate.pem"


def rig(source: Path, home: Path) -> Rig:
    """Build the servers into `home`. Raises Unavailable."""
    if not (source / "truthd.c").is_file():
        raise Unavailable(f"no truth server in {source}: name the folder of truthd.c by --truth")
    if not shutil.which("gcc"):
        raise Unavailable("gcc is needed to build the truth server")
    server = source / "truthd.c"
    refusal = _refused(server, home / "truthd", str(ARRIVALS), WRAPPED)
    if refusal and (refusal := _refused(server, home / "truthd")):
        raise Unavailable(f"truthd.c does not compile: {refusal}")
    tls = None if _refused(TLS, home / "tls", "-lssl", "-lcrypto") else home / "tls"
    if tls is not None:
        _certify(home)
    return Rig(home=home, plain=home / "truthd", tls=tls, real_time=os.geteuid() == 0)


def _refused(source: Path, program: Path, *libraries: str) -> str:
    """Compile; what the compiler said if it would not."""
    command = ("gcc", "-O2", "-o", str(program), str(source), *libraries)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stderr.strip() or "no reason given" if done.returncode else ""


def _certify(home: Path) -> None:
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=truth", "-addext", "subjectAltName=IP:127.0.0.1",
         "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
         "-keyout", home / "key.pem", "-out", home / "certificate.pem"),
        check=True, capture_output=True,
    )  # fmt: skip


class Serving:
    """Servers under way at `url`. `truths` can be read once they have stopped."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log
        self._arrivals = log.with_name("arrivals.csv")

    def truths(self) -> dict[str, Truth]:
        """The truth by request id, and by response id where the server logs what makes one."""
        arrived = self._arrived()
        known: dict[str, Truth] = {}
        with self._log.open() as lines:
            for row in csv.DictReader(lines):
                came = int(row.get("arrived") or 0) or arrived.get(row["rid"])
                truth = Truth(int(row["read"]), int(row["first_before"]), came)
                if not truth.first_ns:
                    continue
                known[row["rid"]] = truth
                if "conn" in row:
                    known[f"chatcmpl-{row['conn']}-{row['nth']}"] = truth
        return known

    def _arrived(self) -> dict[str, int]:
        """By request id, as far as the plain server was built to note it."""
        if not self._arrivals.exists():
            return {}
        with self._arrivals.open() as lines:
            return {row["rid"]: int(row["arrived"]) for row in csv.DictReader(lines)}


@contextmanager
def serving(rig: Rig, *, tls: bool, streams: int) -> Iterator[Serving]:
    """Fresh servers, with the same delays each time."""
    port, log = free_port(), rig.home / "truth.csv"
    urgent = ("--rt",) if rig.real_time else ()
    tokens = str(TOKENS_ALONE if streams == 1 else TOKENS)
    command = (rig.plain, "--port", str(port), "--log", log, *SHAPE, "--tokens", tokens, *urgent)
    with _running(command, port):
        if not tls:
            yield Serving(f"http://127.0.0.1:{port}", log)
            return
        outer, outer_log = free_port(), rig.home / "tls.csv"
        if rig.tls is None:
            raise Unavailable("OpenSSL's headers are needed to build the TLS server")
        command = (rig.tls, str(outer), str(port), rig.certificate, rig.home / "key.pem",
                   outer_log, *urgent)  # fmt: skip
        with _running(command, outer):
            yield Serving(f"https://127.0.0.1:{outer}", outer_log)


@contextmanager
def _running(command: tuple[str | Path, ...], port: int) -> Iterator[None]:
    notified = os.environ | {"ARRIVALS": str(Path(command[0]).with_name("arrivals.csv"))}
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=notified)
    try:
        _await_port(port, child)
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(PATIENCE_S)


def _await_port(port: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Unavailable(f"{child.args!r} ended at its start")
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise Unavailable(f"nothing listens on port {port}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
