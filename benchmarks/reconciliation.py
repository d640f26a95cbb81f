"""Does the stated interval of the daily spend cover the provider's bill?

python -m benchmarks.reconciliation [--days 60] [--seeds 200]

Each seed is one service for `--days` days. Its traffic changes by day of the week and by chance,
its mix of models changes, the monitor estimates traffic from canned queries whose cost differs from
that of real ones, and the provider posts a part late. From the 20th day on an interval is stated;
counted is how often it covers the bill. Exit status 1 below 93 %.
"""

import argparse
import sys
from collections.abc import Iterator
from decimal import Decimal
from random import Random

from monitor.pricing.reconciliation import ReconciledDay, uncertainty

GOAL = 0.93


def service(days: int, draw: Random) -> Iterator[ReconciledDay]:
    """The days of one service: what the monitor stated, and the bill."""
    size = 10 ** draw.uniform(-1, 2)  # USD a day
    bias = draw.gauss(1, 0.15)  # real queries cost more or less than canned ones
    spread = draw.uniform(0.01, 0.25)  # of a day around that
    posts_late = draw.random() < 0.5
    fallback_share = 0.0
    for day in range(days):
        weekly = 0.6 if day % 7 in (5, 6) else 1.0
        traffic = size * weekly * draw.lognormvariate(0, 0.3)
        fallback_share = draw.random() if draw.random() < 0.03 else fallback_share * 0.3
        bill = traffic * (1 + 14 * fallback_share)
        seen = bill * (1 - (draw.uniform(0, 0.02) if posts_late else 0))
        stated = seen / max(0.2, bias * draw.lognormvariate(0, spread))
        yield ReconciledDay(_cents(stated), _cents(bill))


def covered(days: int, seed: int) -> tuple[int, int]:
    """How many of the stated intervals cover the bill, of how many."""
    hits = stated = 0
    past: list[ReconciledDay] = []
    for day in service(days, Random(seed)):
        found = uncertainty(past, day.stated_usd)
        if found is not None:
            stated += 1
            hits += abs(day.billed_usd - day.stated_usd) <= found.usd
        past.append(day)
    return hits, stated


def _cents(usd: float) -> Decimal:
    return Decimal(f"{usd:.6f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=200)
    given = parser.parse_args()
    counts = [covered(given.days, seed) for seed in range(given.seeds)]
    hits, stated = (sum(column) for column in zip(*counts, strict=True))
    worst = min(hit / of for hit, of in counts if of)
    print(
        f"{given.seeds} services of {given.days} days: {hits:,} of {stated:,} intervals cover the "
        f"bill ({100 * hits / stated:.1f} %, goal 93 %); the worst service {100 * worst:.0f} %"
    )
    return 0 if hits / stated >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
