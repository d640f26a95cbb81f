"""Makes `.venv` from the hashed lock when it changed, then becomes the command asked for.

Standard library only: this runs before anything is installed. `./run ARGUMENTS` becomes
`monitor ARGUMENTS`; `./run test` runs everything that must pass.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"
MARK = VENV / "installed.sha256"  # written last: its absence means a half-made environment
USAGE = """usage: ./run COMMAND          for example ./run demo; ./run --help names all
       ./run test             everything that must pass: lint, types, tests; about 10 minutes
       ./run test --fast      lint, and the tests without process or database; under a minute
       ./run test --slow      more cases of what ./run test shows with some
       ./run test ARGUMENTS   pytest with these arguments"""


def wanted():
    """Digest of everything the environment is made from."""
    parts = (ROOT / "requirements.lock", ROOT / "pyproject.toml", Path(__file__))
    digest = hashlib.sha256(f"{sys.version_info[:2]} {sysconfig.get_platform()} {ROOT}".encode())
    for part in parts:
        digest.update(part.read_bytes())
    return digest.hexdigest()


def ready(digest):
    return PYTHON.exists() and MARK.exists() and MARK.read_text() == digest


def stop(sentence):
    sys.exit(f"run: {sentence}")


@contextmanager
def alone():
    """Hold the set-up lock, so that two first runs at once do not trip over each other."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pip(*arguments):
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *arguments]
    if subprocess.run(command, cwd=ROOT).returncode:
        stop("pip could not install what requirements.lock names; its own words stand above.")


def set_up(digest):
    print("run: setting up .venv (once; needs the package index)", file=sys.stderr, flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        words = (made.stdout + made.stderr).strip()
        stop(
            f"{sys.executable} cannot make a virtual environment.\n"
            f"     Debian, Ubuntu: apt install python3-venv. It said: {words}"
        )
    # The lock is whole: with --no-deps pip looks for nothing newer, and cannot trip over it.
    pip("--require-hashes", "--no-deps", "-r", "requirements.lock")
    pip("--no-deps", "--no-build-isolation", "--editable", ".")
    MARK.write_text(digest)


def become(*command):
    """Replace this process, so that signals reach the command itself."""
    if os.name == "nt":
        sys.exit(subprocess.run(command).returncode)
    os.execv(command[0], command)


LINT = (("ruff", "check", "."), ("ruff", "format", "--check", "."))
TESTS = {  # Option → steps before the tests, and which tests.
    (): ((*LINT, ("mypy",)), ("-m", "not slow")),
    ("--fast",): (LINT, ("tests/unit", "-m", "not slow and not search")),
    ("--slow",): ((), ("-m", "slow")),
}


def test(steps, which):
    for step in steps:
        print("run:", *step, file=sys.stderr, flush=True)
        if subprocess.run([BIN / step[0], *step[1:]]).returncode:
            stop(f"{' '.join(step)} failed")
    # Half of the tests wait for something; two at a time wait together.
    become(str(PYTHON), "-m", "pytest", *which, "--numprocesses=2", "--dist=worksteal")


def main(arguments):
    if not arguments:
        stop(USAGE)
    digest = wanted()
    if not ready(digest):
        with alone():
            if not ready(digest):
                set_up(digest)
    if arguments[0] == "test":
        os.chdir(ROOT)
        if tuple(arguments[1:]) in TESTS:
            test(*TESTS[tuple(arguments[1:])])
        become(str(PYTHON), "-m", "pytest", *arguments[1:])
    become(str(PYTHON), "-m", "monitor", *arguments)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
