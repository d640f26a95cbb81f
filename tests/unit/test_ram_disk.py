"""Where tests keep databases: within the memory of the container, and nothing stays behind."""

from pathlib import Path

import pytest

from tests.case_tables import each
from tests.ram_disk import memory_left, owned_directory, remove_left

GIB = 1 << 30
V2, V1 = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")


@each(("own", "groups", "left_gib"), [
    ("0::/\n", {".": (V2, "max", "0")}, None),
    ("0::/\n", {".": (V2, f"{4 * GIB}", f"{GIB}")}, 3),
    ("0::/a/b\n", {"a/b": (V2, "max", f"{GIB}"), "a": (V2, f"{3 * GIB}", f"{GIB}")}, 2),
    ("0::/a/b\n", {"a/b": (V2, f"{2 * GIB}", f"{GIB}"), "a": (V2, f"{9 * GIB}", f"{GIB}")}, 1),
    ("12:cpu,cpuacct:/x\n5:memory:/docker/c\n0::/\n",
     {"memory/docker/c": (V1, f"{2 * GIB}", "0")}, 2),
    ("5:memory:/docker/c\n", {"memory": (V1, f"{3 * GIB}", "0")}, 3),  # within the container
    ("5:cpu:/x\n", {"x": (V2, f"{GIB}", "0")}, None),
    ("0::/\n", {".": (V2, "rubbish", "0")}, None),
    ("", {}, None),
])  # fmt: skip
def test_the_smallest_limit_around_the_process_counts(
    own: str,
    groups: dict[str, tuple[tuple[str, str], str, str]],
    left_gib: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = tmp_path_factory.mktemp("cgroups")
    for group, (names, limit, used) in groups.items():
        (place / group).mkdir(parents=True, exist_ok=True)
        for name, value in zip(names, (limit, used), strict=True):
            (place / group / name).write_text(f"{value}\n")
    (place / "own").write_text(own)
    left = memory_left(place, place / "own")
    assert left == (float("inf") if left_gib is None else left_gib * GIB)


def test_a_machine_without_such_files_has_no_limit(tmp_path: Path) -> None:
    assert memory_left(tmp_path / "none", tmp_path / "nothing") == float("inf")


def test_what_killed_tests_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with owned_directory(str(tmp_path)) as used:
        (used / "data").write_text("in use")
        for name in ("rag-monitor-tests-dead", "rag-monitor-tests-nobodys", "postgres-x"):
            (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / "rag-monitor-tests-dead.owner").touch()  # its process ended: no lock is held
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "rag-monitor-tests-link.owner").symlink_to(tmp_path / "elsewhere")
        remove_left(tmp_path)
        remove_left(tmp_path)
        assert (used / "data").read_text() == "in use"
        left = {path.name for path in tmp_path.iterdir()} - {used.name, f"{used.name}.owner"}
    assert left == {
        "rag-monitor-tests-nobodys", "postgres-x", "elsewhere", "rag-monitor-tests-link.owner",
    }  # fmt: skip
    assert not used.exists()
    assert not used.with_suffix(".owner").exists()
