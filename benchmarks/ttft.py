"""How far off is a measured time to first token? Ours and that of others, against the truth.

    python -m benchmarks.ttft --make-peers .venv-peers
    python -m benchmarks.ttft --peers .venv-peers --markdown table.md --json rows.json

Exit status 1: a goal is missed. 2: it cannot be measured here. See docs/benchmarks.md.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.truth import pages, peers
from benchmarks.truth.figures import OURS, Figures, Row, figures, place, summary
from benchmarks.truth.load import Job, Ran, told
from benchmarks.truth.machine import Watch, busy
from benchmarks.truth.pages import number
from benchmarks.truth.server import Rig, Unavailable, rig, serving
from benchmarks.truth.verdicts import goals

ROOT = Path(__file__).parents[1]
REQUESTS = {1: 10, 10: 60, 100: 500, 500: 1500, 1000: 2000}  # by streams
QUICK = {1: 3, 10: 20, 100: 200, 500: 1000, 1000: 1500}
PATIENCE_S = 300

Setting = tuple[str, bool, int]  # client, over TLS, streams


def main() -> int:
    given = _arguments()
    if given.make_peers:
        peers.make(given.make_peers)
        return 0
    others = peers.present(given.peers)
    chosen = given.only or [OURS, *others]
    if absent := set(chosen) - {OURS, *others}:
        print(f"not installed: {', '.join(sorted(absent))}; see --make-peers", file=sys.stderr)
        return 2
    requests = QUICK if given.quick else REQUESTS
    with TemporaryDirectory() as home:
        try:
            built = rig(given.truth, Path(home))
        except Unavailable as reason:
            print(reason, file=sys.stderr)
            return 2
        if built.tls is None:
            print("TLS: left out: OpenSSL's headers are not installed", file=sys.stderr)
        context = Watch()
        settings = list(_settings(chosen, given.streams, tls=built.tls is not None))
        runs: dict[Setting, list[Figures]] = {setting: [] for setting in settings}
        with busy(given.beside):
            for turn in range(1 if given.quick else given.repeat):
                # Every other turn backwards, so that no client always comes first.
                for setting in settings if turn % 2 == 0 else reversed(settings):
                    if setting[0] != OURS and turn >= (given.repeat_others or given.repeat):
                        continue
                    seen = _measured(setting, built, others, requests[setting[2]])
                    runs[setting] += [seen] if seen else []
    rows = [
        Row(client=client, tls=tls, streams=streams, runs=len(seen), figures=summary(seen))
        for (client, tls, streams), seen in runs.items()
        if seen
    ]
    return _told(rows, context, given)


def _arguments() -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ttft", description=__doc__, formatter_class=as_written
    )
    option = parser.add_argument
    option("--truth", type=Path, metavar="DIR", default=ROOT.parent / "shared" / "rigs" / "truth",
           help="folder of truthd.c, the server that knows the truth")  # fmt: skip
    option("--peers", type=Path, metavar="DIR", help="environment of the other clients")
    option("--make-peers", type=Path, metavar="DIR", help="make that environment, and end")
    option("--streams", type=int, nargs="+", choices=REQUESTS, default=list(REQUESTS))
    option("--only", nargs="+", metavar="CLIENT", help=f"{OURS} and others by name")
    option("--repeat", type=int, default=3, help="runs of each client; the medians are reported")
    option("--repeat-others", type=int, metavar="N", help="runs of each other client, if fewer")
    option("--beside", type=int, default=0, metavar="N",
           help="busy processes that run at the same time as every client")  # fmt: skip
    option("--quick", action="store_true", help="fewer requests, one run of each")
    option("--json", type=Path, metavar="FILE")
    option("--markdown", type=Path, metavar="FILE",
           help="the tables; below its heading of results where the file has one")  # fmt: skip
    return parser.parse_args()


def _settings(clients: Sequence[str], streams: Sequence[int], *, tls: bool) -> Iterator[Setting]:
    """What is measured, in order. The tools know no way to trust a certificate of ours."""
    for crowd in streams:
        for secure in (False, True) if tls else (False,):
            for client in clients:
                if not (secure and client in peers.TOOLS):
                    yield client, secure, crowd


def _measured(
    setting: Setting, built: Rig, others: dict[str, Path], requests: int
) -> Figures | None:
    """One run in a process of its own; None where the client broke down, and said so."""
    client, tls, streams = setting
    name = f"{client}, {place(tls, streams)}"
    with serving(built, tls=tls, streams=streams) as served:
        job = Job(client=client, url=served.url, streams=streams, requests=requests,
                  ca_file=str(built.certificate) if tls else None)  # fmt: skip
        try:
            ran = _ran(job, others)
        except (subprocess.SubprocessError, ValueError) as reason:
            print(f"{name}: left out: {reason}", file=sys.stderr)
            return None
    one = figures(ran, served.truths(), requests=requests)
    seen = f"p50 {number(one.error_p50_ms)} p99 {number(one.error_p99_ms)} ms"
    print(f"{name}: error {seen}", file=sys.stderr)
    return one


def _ran(job: Job, others: dict[str, Path]) -> Ran:
    """Raises SubprocessError where it failed or took too long, and ends all it started."""
    part = "ours" if job.client == OURS else "tools" if job.client in peers.TOOLS else "plain"
    interpreter = others.get(job.client, Path(sys.executable))
    child = subprocess.Popen(
        (interpreter, "-m", f"benchmarks.truth.{part}", json.dumps(asdict(job))),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = child.communicate(timeout=PATIENCE_S)
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise
    if child.returncode:
        last = err.strip().rsplit("\n", 1)[-1]
        raise subprocess.SubprocessError(f"exit status {child.returncode}: {last}")
    return told(out)


def _told(rows: Sequence[Row], context: Watch, given: argparse.Namespace) -> int:
    judged, machine = list(goals(rows)), context.machine(given.beside)
    text = pages.page(rows, judged, machine)
    print(text)
    if given.markdown:
        heading = pages.BESIDE if given.beside else pages.RESULTS
        there = given.markdown.read_text(encoding="utf-8") if given.markdown.exists() else ""
        given.markdown.write_text(pages.placed(text, there, heading), encoding="utf-8")
    if given.json:
        document = pages.document(rows, judged, machine)
        given.json.write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")
    return 0 if judged and all(goal.met for goal in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
