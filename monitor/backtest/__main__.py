"""`python -m monitor.backtest`: rows on standard input, events on standard output."""

import argparse
import sys
from io import TextIOWrapper

from monitor.backtest.input_rows import BadBacktestRow
from monitor.backtest.replay import as_json, judged_by_name, replay
from monitor.rules import RULES

EXPECTED = "meta-llama/llama-4-scout"


def main() -> int:
    """Replay standard input; 1 when a row is bad, with its line and the remedy."""
    parser = argparse.ArgumentParser(prog="python -m monitor.backtest", description=__doc__)
    parser.add_argument("--expected", action="append", metavar="MODEL", help="an expected model")
    expected = parser.parse_args().expected or [EXPECTED]
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    rules = {name: rule() for name, rule in RULES.items()}
    try:
        for event in replay(sys.stdin, rules, identity=judged_by_name(expected)):
            sys.stdout.write(as_json(event) + "\n")
    except BadBacktestRow as bad:
        sys.stderr.write(f"{bad}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
