"""The other clients, in a virtual environment of their own: made once, pinned and hashed."""

import subprocess
import sys
import venv
from pathlib import Path

LOCK = Path(__file__).parents[1] / "peers.lock"
MODULES = {"httpx": "httpx_sse", "aiohttp": "aiohttp", "openai": "openai"}
TOOLS = ("aiperf", "guidellm")


def make(home: Path) -> None:
    """Create the environment and install what the lock names. Raises CalledProcessError."""
    venv.create(home, with_pip=True, clear=True)
    install = ("-m", "pip", "install", "--no-deps", "--require-hashes", "-r", LOCK)
    subprocess.run((python(home), *install), check=True)


def python(home: Path) -> Path:
    return home / "bin" / "python"


def present(home: Path | None) -> dict[str, Path]:
    """Which others can be run, and by which interpreter. Without `home`: what this one has."""
    interpreter = python(home) if home else Path(sys.executable)
    wanted = ", ".join(repr(module) for module in MODULES.values())
    asking = f"import importlib.util as u; print([bool(u.find_spec(m)) for m in ({wanted},)])"
    answer = subprocess.run((interpreter, "-c", asking), check=True, capture_output=True, text=True)
    found = [word == "True" for word in answer.stdout.strip(" []\n").split(", ")]
    clients = [name for name, there in zip(MODULES, found, strict=True) if there]
    clients += [tool for tool in TOOLS if interpreter.with_name(tool).exists()]
    return dict.fromkeys(clients, interpreter)
