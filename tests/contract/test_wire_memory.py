"""Whatever a target sends, the process stays small."""

import subprocess
import sys
from pathlib import Path

LIMIT_MIB = 150


def test_all_faults_together_stay_within_the_memory_of_a_small_machine() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fault_memory"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < LIMIT_MIB
