"""`./run` makes its environment: from hashed locks, once, and safely beside other calls."""

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys, time
import needed
from pathlib import Path
named = ["as", os.environ["RAG_MONITOR_COMMAND"]] if "SAY_COMMAND" in os.environ else []
print("started", *sys.argv[1:], *named, flush=True)
while "stay" in sys.argv and not Path("leave").exists():
    time.sleep(0.02)
"""


def wheel(folder: Path, name: str) -> str:
    """A wheel with one empty module; returns its line for a lock."""
    path = folder / f"{name}-1-py3-none-any.whl"
    about = f"{name}-1.dist-info"
    files = {
        f"{name}.py": "",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in files) + f"{about}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as packed:
        for at, text in {**files, f"{about}/RECORD": record}.items():
            packed.writestr(at, text)
    return f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """No module comes from the repository, and no byte code of a temporary one is kept."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The script with a program and locks of its own, whose packages need no index.

    Its path has characters that a shell would replace.
    """
    tmp_path = tmp_path / "a $HOME} `b`"
    tmp_path.mkdir()
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor" / "__main__.py").write_text(PROGRAM)
    for name in ("run", "bootstrap.py"):
        shutil.copy(ROOT / name, tmp_path)
    worker = wheel(tmp_path, "needed")
    (tmp_path / "requirements-worker.lock").write_text(worker)
    (tmp_path / "requirements.lock").write_text(worker + wheel(tmp_path, "tools"))
    return tmp_path


def begun(clone: Path, *arguments: str, path: str = "", **more: Any) -> subprocess.Popen[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))} | {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": clone.as_uri(),
        "PIP_CONFIG_FILE": os.devnull,
        "PATH": f"{path}{os.defpath}",
        "PYTHON": getattr(sys, "_base_executable", sys.executable),
    }
    return subprocess.Popen(
        [clone / "run", *arguments],
        env=environ,
        cwd=clone,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )


def run(clone: Path, *arguments: str, path: str = "") -> tuple[int, str, list[str]]:
    """Exit status, standard output, and the lines of standard error."""
    with begun(clone, *arguments, path=path) as child:
        out, err = child.communicate(timeout=120)
    return child.returncode, out, err.splitlines()


def has(clone: Path, module: str) -> bool:
    python = clone / ".venv" / "bin" / "python"
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0


def test_a_step_is_one_line_with_its_seconds_and_is_done_once(clone: Path) -> None:
    status, out, steps = run(clone, "check", "--all")
    assert (status, out) == (0, "started check --all\n"), steps
    assert steps[0].startswith("run: creating .venv ... ")
    assert steps[-1].startswith("run: installing requirements-worker.lock (1 packages) with pip")
    assert all(step.endswith(" s") for step in steps)
    assert not has(clone, "tools")
    assert run(clone, "check") == (0, "started check\n", [])
    # Scripts call the command in the environment, from any directory.
    monitor = clone / ".venv" / "bin" / "monitor"
    called = subprocess.run([monitor, "check"], cwd="/", capture_output=True, text=True)
    assert (called.returncode, called.stdout) == (0, "started check\n")
    # Hints name the command that was typed.
    named = {**os.environ, "SAY_COMMAND": "1"}
    for typed, folder in (("./run", clone), (f"{clone.name}/run", clone.parent),
                          (str(monitor), Path("/"))):  # fmt: skip
        called = subprocess.run(
            ["/bin/sh", "-c", f"exec {shlex.quote(typed)} check"],
            cwd=folder,
            capture_output=True,
            text=True,
            env=named,
        )
        assert called.stdout == f"started check as {shlex.quote(typed)}\n"
    # What only some need is added to it.
    status, out, steps = run(clone, "install")
    assert (status, out) == (0, "")
    assert [step.split(" ...")[0] for step in steps if "adding pip" not in step] == [
        "run: installing requirements.lock (2 packages) with pip"
    ]
    assert has(clone, "tools")
    assert run(clone, "check") == (0, "started check\n", [])
    assert run(clone, "install") == (0, "", [])


def test_byte_code_is_kept_in_the_environment_if_none_shall_be_beside_the_sources(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    assert run(clone, "check")[0] == 0
    assert [path.name.partition(".")[0] for path in (clone / ".venv").rglob("needed.*.pyc")] == [
        "needed"
    ]
    assert not list((clone / "monitor").rglob("*.pyc"))
    shutil.rmtree(clone / ".venv" / "bytecode")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "")  # as good as unset
    assert run(clone, "check")[0] == 0
    assert not list((clone / "monitor").rglob("*.pyc"))
    shutil.rmtree(clone / ".venv" / "bytecode")
    subprocess.run([clone / ".venv" / "bin" / "monitor", "check"], check=True)
    assert list((clone / ".venv" / "bytecode").rglob("needed.*.pyc"))


def test_a_package_with_another_hash_is_refused(clone: Path) -> None:
    lock = clone / "requirements-worker.lock"
    lock.write_text(f"needed==1 --hash=sha256:{'0' * 64}\n")
    status, out, said = run(clone, "check")
    assert (status, out) == (1, "")
    assert any("hash" in line.lower() for line in said)
    assert said[-1].endswith("failed; the reason stands above.")


def test_concurrent_first_calls_set_up_once(clone: Path) -> None:
    calls = [begun(clone, "check") for _ in range(3)]
    ended = [call.communicate(timeout=120) for call in calls]
    assert [call.returncode for call in calls] == [0, 0, 0]
    assert [out for out, _ in ended] == ["started check\n"] * 3
    assert sum("creating .venv" in err for _, err in ended) == 1


def test_a_set_up_that_was_killed_is_made_again(clone: Path) -> None:
    with begun(clone, "check", start_new_session=True) as child:
        assert child.stderr is not None
        child.stderr.readline()  # the environment is made, and being filled
        os.killpg(child.pid, signal.SIGKILL)
    status, out, _ = run(clone, "check")
    assert (status, out) == (0, "started check\n")


def test_a_changed_lock_does_not_break_a_running_command(clone: Path) -> None:
    with begun(clone, "stay") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "started stay\n"
        with (clone / "requirements-worker.lock").open("a") as lock:
            lock.write("# newer\n")
        status, _, said = run(clone, "check")
        assert status == 1
        assert said == [
            "run: .venv must be made again for this version, and another ./run command uses it: "
            "stop that command first."
        ]
        (clone / "leave").touch()
    status, out, steps = run(clone, "check")
    assert (status, out) == (0, "started check\n")
    assert steps[0].startswith("run: creating .venv")


def test_uv_is_asked_first_and_pip_where_it_fails(clone: Path) -> None:
    folder = clone / "tools"
    folder.mkdir()
    (folder / "uv").write_text('#!/bin/sh\necho "no route"; echo "$@" > asked; exit 1\n')
    (folder / "uv").chmod(0o755)
    status, out, said = run(clone, "check", path=f"{folder}:")
    assert (status, out) == (0, "started check\n")
    assert said[1:3] == [
        "run: installing requirements-worker.lock (1 packages) with uv ... failed",
        "no route",
    ]
    asked = (clone / "asked").read_text()
    assert "--require-hashes --no-deps --requirement requirements-worker.lock" in asked
