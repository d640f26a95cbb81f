"""Score the judgement of model names: `python -m benchmarks.identity_names FILE`.

Takes JSON Lines with `requested`, `returned` and `same_model`. Prints every error, and last
`R right of N, F false`; false are different models that were called the same.
"""

import argparse
import json
from pathlib import Path

from monitor.identity.model_names.compare import same


def main() -> None:
    """Read the pairs, print what is wrong, then the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    lines = parser.parse_args().file.read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in lines if line.strip()]
    right = false = 0
    for pair in pairs:
        judged = same(pair["requested"], pair["returned"])
        right += judged is pair["same_model"]
        false += judged is True and not pair["same_model"]
        if judged is not pair["same_model"]:
            notified = {True: "same", False: "different", None: "cannot tell"}[judged]
            wanted = "same" if pair["same_model"] else "different"
            print(f"{pair['requested']} | {pair['returned']}: {notified}, should be {wanted}")
    print(f"{right} right of {len(pairs)}, {false} false")


if __name__ == "__main__":
    main()
