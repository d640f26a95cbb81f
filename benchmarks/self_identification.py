"""Score the reading of self-identifications: `python -m benchmarks.self_identification FILE`.

Takes JSON Lines with `text` and `family` (null: nobody is named). Prints every error, and
last `R right of N, F false`; false are texts a wrong family was read from.
"""

import argparse
import json
from pathlib import Path

from monitor.identity.self_identification.detector import self_claims


def named(text: str) -> str | None:
    """The one family a text claims; None where it claims none, or several."""
    families = {claim.family for claim in self_claims(text)}
    return families.pop() if len(families) == 1 else None


def main() -> None:
    """Read the sentences, print what is wrong, then the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    lines = parser.parse_args().file.read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines if line.strip()]
    right = false = 0
    for sample in samples:
        found = named(sample["text"])
        right += found == sample["family"]
        false += found is not None and found != sample["family"]
        if found != sample["family"]:
            print(f"{sample['text']!r}: {found or 'nobody'}, should be {sample['family']}")
    print(f"{right} right of {len(samples)}, {false} false")


if __name__ == "__main__":
    main()
