"""The locks hold what `pyproject.toml` asks for, with hashes, and nothing of any machine."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in requirements}


def locked(file: str) -> dict[str, str]:
    """Every pinned package of a lock with what stands about it."""
    blocks = re.split(r"^(?=[a-z])", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {block.partition("==")[0].partition("[")[0]: block for block in blocks if block}


@pytest.mark.parametrize(
    ("file", "requested"),
    [
        ("requirements.lock", named(sum(EXTRAS.values(), PROJECT["dependencies"]))),
        ("requirements-worker.lock", named(PROJECT["dependencies"])),
        ("deploy/release.lock", named((ROOT / "deploy/release.in").read_text().split())),
    ],
)
def test_a_lock_holds_what_was_asked_for_each_with_its_hashes(
    file: str, requested: set[str]
) -> None:
    held = locked(file)
    assert requested <= set(held)
    assert all("--hash=sha256:" in block for block in held.values())
    assert not re.search(r"https?://|file:|--index|--find-links", "".join(held.values()))


@pytest.mark.parametrize("file", ["requirements-worker.lock", "deploy/build.lock"])
def test_a_part_of_the_lock_has_its_versions_and_hashes(file: str) -> None:
    """`./run test` adds to what the worker has installed, and must not change it."""
    whole, part = locked("requirements.lock"), locked(file)
    assert len(part) > 5
    for name, block in part.items():
        for line in (block.partition(" ")[0], *re.findall(r"sha256:\w+", block)):
            assert line in whole[name]


def test_the_worker_carries_no_data_frames_and_no_tools() -> None:
    assert not (named(EXTRAS["parquet"]) | named(EXTRAS["dev"]) - {"anyio"}) & set(
        locked("requirements-worker.lock")
    )
