"""The wheel, installed where nothing of the repository is in reach, has all that it needs."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.e2e.worker_process import environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", folder], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder of the scripts. Only the dependencies are borrowed from our own environment."""
    home = wheel.parent / "venv"
    keep_nothing = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-m", "venv", home], check=True, env=keep_nothing)
    pip = [home / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install"]
    offline = ("--quiet", "--no-index", "--no-deps", "--no-compile", wheel)
    subprocess.run([*pip, *offline], check=True, env=keep_nothing)
    libraries = sysconfig.get_path("purelib", "venv", {"base": str(home)})
    Path(libraries, "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return home / "bin"


def test_demo_examples_and_migrations_are_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {"migrations", "examples"} <= included.keys()
    inside = {
        (Path(target) / path.relative_to(ROOT / source)).as_posix()
        for source, target in {"monitor": "monitor", **included}.items()
        for path in ((ROOT / source), *(ROOT / source).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(inside) > 250
    assert inside <= names
    rest = {name for name in names - inside if ".dist-info/" not in name}
    assert not rest, "nothing else is shipped"


def test_the_installed_program_runs_without_the_repository(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def call(script: str, *arguments: str, **given: str) -> str:
        ended = subprocess.run(
            [installed / script, *arguments],
            env=environment(tmp_path, **given), cwd=tmp_path, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "demo" in call("monitor", "--help")
    assert "--keep" in call("rag-monitor", "demo", "--help")
    where = subprocess.check_output(
        [installed / "python", "-c", "import monitor; print(monitor.__path__[0])"],
        cwd=tmp_path, text=True,
    ).strip()  # fmt: skip
    assert Path(where).is_relative_to(installed.parent)
    example = f"{where}/examples/nuzantara.toml"
    assert "schema is at revision" in call("monitor", "migrate", MONITOR_CONFIG=example)
