"""Load testers under the same load, by what they write down for each request.

They run offline: the tokenizer they insist on is one of ours, laid where the hub's cache
would have it. What they report is a duration; when their clock began is not told.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.truth.load import Job, Ran, Sample, job_given, tell

TOKENIZER = "truth/words"
WORDS = 2000


def lay_tokenizer(home: Path) -> None:
    """A tokenizer of numbered words, as the hub's cache below `home` would hold it."""
    model = home / "hub" / f"models--{TOKENIZER.replace('/', '--')}"
    snapshot = model / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0")
    vocabulary = {word: n for n, word in enumerate(["<unk>", *(f"w{n}" for n in range(WORDS))])}
    unknown = {"id": 0, "content": "<unk>", "single_word": False, "lstrip": False,
               "rstrip": False, "normalized": False, "special": True}  # fmt: skip
    for name, document in {
        "tokenizer.json": {
            "version": "1.0",
            "added_tokens": [unknown],
            "pre_tokenizer": {"type": "Whitespace"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": "<unk>",
            "eos_token": "<unk>",
        },
        "config.json": {"model_type": "gpt2"},
    }.items():
        (snapshot / name).write_text(json.dumps(document))


def aiperf(job: Job, out: Path) -> tuple[str, ...]:
    """The command that has aiperf do the job and write `profile_export.jsonl`."""
    return (
        "profile", "-m", "truth", "--url", job.url, "--endpoint-type", "chat", "--streaming",
        "--concurrency", str(job.streams), "--request-count", str(job.requests),
        "--tokenizer", TOKENIZER, "--synthetic-input-tokens-mean", "4", "--ui", "none",
        "--no-gpu-telemetry", "--no-server-metrics", "--artifact-dir", str(out),
    )  # fmt: skip


def aiperf_samples(out: Path) -> Iterator[Sample]:
    for line in (out / "profile_export.jsonl").read_text().splitlines():
        reported: dict[str, Any] = json.loads(line)
        ttft = reported["metrics"].get("time_to_first_token")
        yield Sample(id=reported["metadata"]["x_request_id"], ttft_ms=ttft and ttft["value"])


def guidellm(job: Job, out: Path) -> tuple[str, ...]:
    """The command that has guidellm do the job and write `report.json`."""
    return (
        "run", "--backend", f"kind=openai_http,target={job.url},model=truth",
        "--profile", f"kind=concurrent,streams={job.streams}",
        "--constraint", f"kind=max_requests,count={job.requests}",
        "--tokenizer", f"kind=hf_auto,model={TOKENIZER}",
        "--data", "kind=synthetic_text,prompt_tokens=4,output_tokens=16",
        "--output", f"kind=json,path={out / 'report.json'}", "--disable-console",
    )  # fmt: skip


def guidellm_samples(out: Path) -> Iterator[Sample]:
    [benchmark] = json.loads((out / "report.json").read_text())["benchmarks"]
    for reported in benchmark["requests"]["successful"]:
        yield Sample(id=reported["response_id"], ttft_ms=reported["time_to_first_token_ms"])


Command = Callable[[Job, Path], tuple[str, ...]]
Samples = Callable[[Path], Iterator[Sample]]
TOOLS: dict[str, tuple[Command, Samples]] = {
    "aiperf": (aiperf, aiperf_samples),
    "guidellm": (guidellm, guidellm_samples),
}


def tested(job: Job, home: Path) -> Ran:
    """The job done by the tool beside this interpreter, which leaves its papers in `home`.

    Cost counts the whole tool, its start and all its processes; `rss_mib` is that of its
    largest process. Raises CalledProcessError.
    """
    command, samples = TOOLS[job.client]
    program = Path(sys.executable).with_name(job.client)
    lay_tokenizer(home)
    offline = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HOME": str(home)}
    begun = time.monotonic()
    subprocess.run(
        (program, *command(job, home)), check=True, stdout=sys.stderr, env=offline, cwd=home
    )
    wall_s, cost = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Ran(
        samples=tuple(samples(home)),
        wall_s=wall_s,
        cpu_s=cost.ru_utime + cost.ru_stime,
        rss_mib=cost.ru_maxrss / 1024,
    )


def main() -> None:
    with TemporaryDirectory() as home:
        tell(tested(job_given(), Path(home)))


if __name__ == "__main__":
    main()
