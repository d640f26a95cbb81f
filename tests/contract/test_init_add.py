"""`monitor init --add` appends a target to a file and changes nothing else in it."""

import resource
from pathlib import Path

import pytest

from monitor.worker.reload import file_state
from tests.contract.cli import Ended, call
from tests.contract.test_init import DELTAS, Asked, Reply, fastapi, served, settings

FIRST = """\
# my notes, with tabs\tand  spaces \t
[targets.rag]
url = "http://127.0.0.1:9"   # the first
dialect = "bali_zero"
expected_models = ["meta-llama/llama-4-scout"]
queries = [{id = "hi", text = "Hi"}]
[targets.rag.headers]
X-Key = "${NOT_SET_IN_THIS_SHELL}"

[rules.ttft]
limit_ms = 1500"""  # without a line end


def add(home: Path, *more: str) -> Ended:
    with served(fastapi("question", DELTAS)) as (host, _):
        return call(("init", "--url", f"{host}/ask", "--yes", "--add", *more), home=home)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "monitor.toml"
    path.write_text(FIRST)
    return path


def test_a_second_target_is_appended_and_the_rest_stays(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    before, owner = file_state(file), file.stat().st_uid
    ended = add(tmp_path, "--name", "desk")
    assert ended.status == 0, ended.said
    assert "added target desk to " in ended.out
    assert file.read_text().startswith(f"{FIRST}\n\n# Added by `monitor init --add` on ")
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o640, owner)
    assert file_state(file) != before, "a running worker sees the change"
    found = settings(tmp_path, NOT_SET_IN_THIS_SHELL="x")
    assert list(found.targets) == ["rag", "desk"]
    assert found.rules["ttft"].limit_ms == 1500
    assert [path.name for path in tmp_path.iterdir()] == ["monitor.toml"]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda text: text.replace("\n", "\r\n"), b"\r\n"),
        (lambda text: "\ufeff" + text, b"\xef\xbb\xbf"),
        (lambda text: text + "\n\n# the end\n", b"# the end\n"),
        (lambda text: text.replace("[targets.rag]", "[targets]\n[targets.rag]"), b"[targets]\n"),
    ],
)
def test_any_form_of_the_file_is_kept(change: object, kept: bytes, tmp_path: Path) -> None:
    file = tmp_path / "monitor.toml"
    file.write_bytes(change(FIRST).encode())  # type: ignore[operator]
    before = file.read_bytes()
    ended = add(tmp_path, "--name", "desk")
    assert ended.status == 0, ended.said
    assert file.read_bytes().startswith(before)
    assert kept in before
    appended = file.read_bytes()[len(before) :]
    assert (b"\r\n" in appended) is (b"\r\n" in before)
    assert appended.replace(b"\r\n", b"").count(b"\n") * appended.count(b"\r\n") == 0
    assert list(settings(tmp_path, NOT_SET_IN_THIS_SHELL="x").targets) == ["rag", "desk"]


@pytest.mark.parametrize(
    ("content", "flags", "status", "said"),
    [
        (FIRST, ("--name", "rag"), 2, "has a target rag: give the new one a --name"),
        (FIRST, ("--name", "d", "--ttft-limit", "9"), 2, "change rules.ttft.limit_ms in the file"),
        (FIRST, ("--name", "d", "--spend-limit", "9"), 2, "change rules.spend.limit_usd in"),
        (None, ("--name", "d"), 2, "does not exist: leave out --add to create it"),
        (FIRST + "\nlimit_s = 1", ("--name", "d"), 2, "correct it before you add a target"),
        ('[prices."m"]\ninput = "1"\noutput = "2"\n' + FIRST, ("--name", "d", "--price", "m=1/2"),
         2, "--price m: change [prices.\"m\"] in "),
        ('targets = {rag = {url = "http://127.0.0.1:9", dialect = "bali_zero", '
         'queries = [{id = "hi", text = "Hi"}]}}', ("--name", "d"), 1,
         "Each target needs a section of its own: [targets.NAME]"),
    ],
)  # fmt: skip
def test_what_cannot_be_added_changes_nothing(
    content: str | None, flags: tuple[str, ...], status: int, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "monitor.toml"
    if content is not None:
        file.write_text(content)
    ended = add(tmp_path, *flags)
    assert ended.status == status, ended.said
    assert said in ended.said
    assert (file.read_text() if file.exists() else None) == content
    assert [one.name for one in tmp_path.iterdir()] == ["monitor.toml"] * (content is not None)


def test_a_full_disk_leaves_the_file_as_it_was(file: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(asked: Asked) -> Reply:  # after the first answer nothing more can be written
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(FIRST) + 20, limits[1]))
        return fastapi("question", DELTAS)(asked)

    try:
        with served(full) as (host, _):
            ended = call(
                ("init", "--url", f"{host}/ask", "--yes", "--add", "--name", "d"), home=tmp_path
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ended.status == 2, ended.said
    assert "cannot be written: File too large. It is unchanged" in ended.said
    assert file.read_text() == FIRST
    assert [one.name for one in tmp_path.iterdir()] == ["monitor.toml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, home = tmp_path / "real", tmp_path / "home"
    real.mkdir()
    home.mkdir()
    (real / "rag.toml").write_text(FIRST)
    (home / "monitor.toml").symlink_to(real / "rag.toml")
    assert add(home, "--name", "desk").status == 0
    assert (home / "monitor.toml").is_symlink()
    assert "[targets.desk]" in (real / "rag.toml").read_text()
    assert [one.name for one in real.iterdir()] == ["rag.toml"]
