"""Hostile streams beside a good target: what they cost the worker, and whom they delay.

    python -m benchmarks.hostile [--modes NAME ...] [--seconds 17] [--hostile 1] [--together]

For each mode a worker of its own (`monitor run`, embedded Postgres) asks a good target every
2 s and one or more hostile ones every 5 s. At the same time a second worker, the control, does the
same with harmless answers: what delays both is the machine. Shown are the greatest resident memory
of the worker's process, its CPU, how late the good target's probes began, how many of its samples
were flagged degraded, and their greatest TTFT; the last three also of the control. With
`--together` all hostile streams begin at the same instant. Exit status 1 when a goal is missed:
150 MiB, and at most 100 ms and no degraded sample more than the control.
"""

import argparse
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b'data: {"done":true,"sequenceNumber":1}\n\n'
LIMIT_MIB, LIMIT_MS = 150.0, 100.0
GOOD_S, HOSTILE_S = 2, 5  # the intervals
SETTINGS = """
[digest]
enabled = false
[probes]
daily_budget_usd = "1000"
max_per_day = 1000000
"""


def said(text: str) -> bytes:
    return f"data: {json.dumps({'text': text}, ensure_ascii=False)}\n\n".encode()


def endless(block: bytes) -> Callable[[], Iterator[bytes]]:
    def stream() -> Iterator[bytes]:
        while True:
            yield block

    return stream


def once(*blocks: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(blocks)


WORDS = ("Hello! ", "A ", "KITAS ", "is ", "a ", "limited ", "stay ", "permit.")


def good() -> Iterator[bytes]:
    for word in WORDS:
        time.sleep(0.02)
        yield said(word)
    yield DONE


MODES: dict[str, Callable[[], Iterator[bytes]]] = {
    "none": once(said("Hello there."), DONE),
    "endless text": endless(said("word " * 30) * 500),
    "tiny events": once(b"data: {}\n\n" * 400_000),
    "one letter a token": once(said("a") * 89_000, DONE),
    "comments": endless(b": x\n" * 20_000),
    "events of 240 KB": once(*[said("word " * 48_000)] * 16, DONE),
    "wide characters": once(*[said("🙂" + "word " * 47_000)] * 17, DONE),
    "wide one-letter tokens": once(said("🙂") * 60_000, DONE),
    "reasoning and text": once(said("a" * 40) * 45_000, DONE),
    "slow to read": once(said("also " * 40 + "zzz I'm Claude, made by Anthropic."), DONE),
    "slow to read, 256 KB": once(*[said("sono un modello AI, " * 11_000)] * 15, DONE),
    "blank lines": endless(b"\r\n   \n\t\n\n" * 10_000),
    "deep nesting": once(*[b"data: " + b'{"a":[' * 30_000 + b"\n\n"] * 10, DONE),
}
# With a head of their own.
WHOLE: dict[str, Callable[[], Iterator[bytes]]] = {
    "endless headers": lambda: (
        (b"HTTP/1.1 200 OK\r\n" if not n else b"") + b"X-%d: a\r\n" % n * 200 for n in count()
    ),
    "endless header": lambda: (
        (b"HTTP/1.1 200 OK\r\nX-A: " if not n else b"") + b"a" * 50_000 for n in count()
    ),
    "redirects": once(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"),
    "gzip bomb": once(
        HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n",
        gzip.compress(said("word " * 30) * 1_000_000, compresslevel=1),
    ),
    "JSON of 100,000 lines": once(
        HEAD.replace(b"text/event-stream", b"application/json"),
        b"[" + b'{"text": "a"},\n' * 100_000 + b"{}]",
    ),
}


def serve(mode: str, *, together: bool) -> None:
    """Answer every connection with one mode's stream; prints the port. Runs until killed."""
    stream = good if mode == "good" else (MODES | WHOLE)[mode]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            peer, _ = server.accept()
            threading.Thread(target=answer, args=(peer, stream, together), daemon=True).start()


def answer(peer: socket.socket, stream: Callable[[], Iterator[bytes]], together: bool) -> None:
    with peer, suppress(OSError):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.recv(65536)
        if together:  # every server waits for the same instant of the clock
            time.sleep(HOSTILE_S - time.time() % HOSTILE_S)
        if stream not in WHOLE.values():
            peer.sendall(HEAD)
        for block in stream():
            peer.sendall(block)


@dataclass(frozen=True)
class Row:
    """What one mode cost. `late_ms`: the worst delay of a probe of the good target."""

    mode: str
    mib: float
    cores: float
    probes: int
    late_ms: float
    degraded: int
    ttft_ms: float  # the greatest of the good target, which sends its first word after 20 ms
    endings: str

    def good(self, control: "Row") -> bool:
        """Whether the hostile target cost no more than the goals allow."""
        late_ms = self.late_ms - control.late_ms
        fair = late_ms <= LIMIT_MS and self.degraded <= control.degraded
        return self.mib < LIMIT_MIB and fair

    def shown(self, control: "Row") -> str:
        return (
            f"| {self.mode} | {self.mib:.0f} | {self.cores:.2f} | {self.probes} | "
            f"{self.late_ms:.0f} | {control.late_ms:.0f} | "
            f"{self.degraded} | {control.degraded} | "
            f"{self.ttft_ms:.1f} | {control.ttft_ms:.1f} | {self.endings} |"
        )


def target(name: str, port: int, every_s: int) -> str:
    return f"""
[targets.{name}]
url = "http://127.0.0.1:{port}"
dialect = "bali_zero"
every = "{every_s}s"
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-haiku-4-5"]
[[targets.{name}.queries]]
id = "hi"
text = "Hi"
"""


def measured(mode: str, *, seconds: float, hostile: int, together: bool) -> Row:
    """Run one worker beside one mode."""
    with tempfile.TemporaryDirectory() as home:
        evils = [served(mode, *["--together"] * together) for _ in range(hostile)]
        servers = [served("good"), *evils]
        path = Path(home, "monitor.toml")
        evil = "".join(target(f"evil{n}", port, HOSTILE_S) for n, (_, port) in enumerate(evils))
        path.write_text(SETTINGS + target("good", servers[0][1], GOOD_S) + evil)
        environment = {**os.environ, "MONITOR_HOME": f"{home}/state", "MONITOR_CONFIG": str(path)}
        environment.pop("DATABASE_URL", None)
        worker = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            started(worker)
            since = time.time()
            before, began = cpu_s(worker.pid), time.monotonic()
            time.sleep(seconds)
            cores = (cpu_s(worker.pid) - before) / (time.monotonic() - began)
            mib = peak_mib(worker.pid)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
            for server, _ in servers:
                server.kill()
                server.wait()
        exported = subprocess.run(
            [sys.executable, "-m", "monitor", "export", "--format", "jsonl"],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        seen = [json.loads(line) for line in exported.stdout.splitlines()]
    ours = [row for row in seen if row["target"] == "good"]
    late_s = max((late for row in ours if (late := lateness_s(row, since)) is not None), default=0)
    endings = ", ".join(sorted({row["outcome"] for row in seen if row["target"] != "good"}))
    degraded = sum(row["stamp"] == "degraded" for row in ours)
    ttft_ms = max((float(row["ttft_ms"]) for row in ours if row["ttft_ms"]), default=0)
    return Row(mode, mib, cores, len(ours), late_s * 1000, degraded, ttft_ms, endings)


def lateness_s(row: Mapping[str, str], since: float) -> float | None:
    """How long after its due time a probe began; None for what was due before `since`."""
    from monitor.domain import Query, Target  # not for each of the servers
    from monitor.worker.round_schedule import phase

    every = timedelta(seconds=GOOD_S)
    query = Query(id="hi", text="Hi")
    good = Target(name=row["target"], url="", dialect="", queries=(query,), every=every)
    due = at(row["slot"]) + phase(good).total_seconds()
    return at(row["started_at"]) - due if due >= since else None


def served(mode: str, *options: str) -> tuple[subprocess.Popen[str], int]:
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hostile", "--serve", mode, *options],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    return server, int(server.stdout.readline())


def started(worker: subprocess.Popen[str]) -> None:
    """Wait until it says so; keep its log empty from then on."""
    assert worker.stderr is not None
    for line in worker.stderr:
        if "worker started" in line:
            break
    threading.Thread(target=lambda: [None for _ in worker.stderr or ()], daemon=True).start()


def at(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> float:
    line = next(
        x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--modes", nargs="+", choices=[*MODES, *WHOLE], default=[*MODES, *WHOLE])
    parser.add_argument("--seconds", type=float, default=17)
    parser.add_argument("--hostile", type=int, default=1, help="hostile targets at once")
    parser.add_argument("--together", action="store_true", help="hostile streams begin at once")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, together=options.together)
    columns = ("mode", "MiB", "cores", "good probes", "late ms", "control", "degraded", "control",
               "TTFT ms", "control", "ends as")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    measure = partial(
        measured, seconds=options.seconds, hostile=options.hostile, together=options.together
    )
    good = True
    with ThreadPoolExecutor() as beside:
        for mode in options.modes:
            row, control = beside.map(measure, (mode, "none"))
            good = row.good(control) and good
            print(row.shown(control), flush=True)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
