"""Texts made to be slow to read, generated from the words that self-identification knows.

    python -m benchmarks.hostile_texts --shapes 200000 --seed 1

Prints the slowest shapes with their CPU time; exit status 1 when one takes 50 ms or more.
"""

import argparse
import sys
import time

from monitor.identity.self_identification.detector import self_claims
from tests.hostile_shapes import generated

LIMIT_MS = 50.0
SHOWN = 10


def main() -> int:
    """Read as many shapes as asked for, each again if it was slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    self_claims("I'm Claude, made by Anthropic.")
    slowest: list[tuple[float, str]] = []
    for text in generated(options.shapes, seed=options.seed):
        spent = cpu_ms(text)
        if spent >= LIMIT_MS:
            spent = min(spent, cpu_ms(text), cpu_ms(text))
        slowest = sorted([*slowest, (spent, text)], reverse=True)[:SHOWN]
    for spent, text in slowest:
        print(f"{spent:7.1f} ms  {len(text):5} characters  {text[:90]!r}")
    return int(slowest[0][0] >= LIMIT_MS)


def cpu_ms(text: str) -> float:
    """CPU time of one reading."""
    began = time.thread_time()
    self_claims(text)
    return (time.thread_time() - began) * 1e3


if __name__ == "__main__":
    sys.exit(main())
