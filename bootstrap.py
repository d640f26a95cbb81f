"""Makes `.venv` from the hashed locks when they changed, then becomes the command asked for.

Standard library only: this runs before anything is installed. `./run ARGUMENTS` becomes
`monitor ARGUMENTS`; `./run test` runs everything that must pass.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: concurrent calls are not coordinated
    fcntl = None

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
BYTECODE = VENV / "bytecode"  # where none shall be written beside the sources
WORKER, EVERYTHING = "requirements-worker.lock", "requirements.lock"  # the second holds the first
LAST_LINES = 20  # of a step that failed
USAGE = """usage: ./run COMMAND          for example ./run demo; ./run --help names all
       ./run test             everything that must pass: lint, types, tests; about 10 minutes
       ./run test --fast      lint, types, and the tests without process or database; under a minute
       ./run test --slow      more cases of what ./run test shows with some
       ./run test ARGUMENTS   pytest with these arguments
       ./run install          add Apprise, Parquet, SciPy, tokenizers and the development tools
       ./run build [DIR]      the wheel and its CycloneDX SBOM; default dist/
       ./run audit            known vulnerabilities of the locked packages, by pip-audit"""

held = []  # the descriptor of the lock, for steps of the set-up


def stop(sentence):
    sys.exit(f"run: {sentence}")


def digest(lock):
    """Digest of everything that an environment with this lock is made from."""
    found = hashlib.sha256(f"{sys.version_info[:2]} {sysconfig.get_platform()} {ROOT}".encode())
    for part in (ROOT / lock, Path(__file__)):
        found.update(part.read_bytes())
    return found.hexdigest()


def mark(lock):
    """The file that says which lock is installed. Written last, removed first: without it an
    installation was interrupted.
    """
    return VENV / f"{lock}.sha256"


def holds(lock):
    at = mark(lock)
    return PYTHON.exists() and at.exists() and at.read_text() == digest(lock)


@contextmanager
def locked():
    """Held while the environment is looked at or changed, so that concurrent calls take turns.

    Steps of the set-up hold it as well: one that outlives a killed ./run keeps others waiting.
    """
    at = ROOT / ".venv.lock"
    if fcntl is None or not os.access(at if at.exists() else ROOT, os.W_OK):
        yield  # a clone that is read-only is not set up either
        return
    with at.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("run: waiting for another ./run, which sets up .venv", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        held.append(lock.fileno())
        yield
        held.clear()


def use():
    """Note, until the command ends that this process becomes, that the environment is in use."""
    if fcntl is not None and os.access(VENV, os.W_OK):
        note = os.open(VENV / "in-use.lock", os.O_RDWR | os.O_CREAT, 0o666)
        os.set_inheritable(note, True)
        fcntl.flock(note, fcntl.LOCK_SH)


def in_use():
    """Whether a command uses the environment. None can begin to, while the lock is held."""
    at = VENV / "in-use.lock"
    if fcntl is None or not at.exists():
        return False
    with at.open("r+") as note:
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def step(what, *command, required=True):
    """Run one step of the set-up and report it in one line, with its seconds; True: it worked."""
    begun, live, ended = time.monotonic(), sys.stderr.isatty(), False
    print(f"run: {what} ...", end="", file=sys.stderr, flush=True)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=held,
    ) as child:
        while not ended:
            try:
                said, _ = child.communicate(timeout=1)
                ended = True
            except subprocess.TimeoutExpired:
                if live:
                    print(
                        f"\rrun: {what} ... {time.monotonic() - begun:.0f} s",
                        end="",
                        file=sys.stderr,
                        flush=True,
                    )
    end = "failed" if child.returncode else f"{time.monotonic() - begun:.1f} s"
    print(f"\rrun: {what} ... {end}" if live else f" {end}", file=sys.stderr, flush=True)
    if child.returncode:
        lines = [line for line in said.splitlines() if not line.startswith("WARNING:")]
        print(*lines[-LAST_LINES:], sep="\n", file=sys.stderr)
        if required:
            stop(f"{what}: failed; the reason stands above.")
    return child.returncode == 0


def install(lock):
    """Install what the lock names, by uv where it is on PATH, else by pip.

    The lock is whole: with --no-deps nothing newer is looked for. Nothing is compiled here:
    Python compiles the modules that are used, when they are.
    """
    count = sum(line[:1].isalpha() for line in (ROOT / lock).read_text().splitlines())
    exact = ("install", "--quiet", "--require-hashes", "--no-deps", "--requirement", lock)
    said, uv = f"installing {lock} ({count} packages) with", shutil.which("uv")
    if uv and step(f"{said} uv", uv, "pip", *exact, "--python", PYTHON, required=False):
        return
    pip = (sys.executable, "-m", "pip", "--python", PYTHON)
    if subprocess.run([*pip, "--version"], capture_output=True).returncode:
        # Beside this Python is no pip, or one older than 22.3.
        step("adding pip (Debian, Ubuntu: needs python3-venv)", PYTHON, "-m", "ensurepip")
        pip = (PYTHON, "-m", "pip")
    step(f"{said} pip", *pip, *exact, "--no-compile", "--disable-pip-version-check")


LAUNCHER = """#!/bin/sh
case $0 in *[!A-Za-z0-9_./-]*) typed="'$0'" ;; *) typed=$0 ;; esac
export RAG_MONITOR_COMMAND="${{RAG_MONITOR_COMMAND:-$typed}}" # named in hints
if [ -n "${{PYTHONDONTWRITEBYTECODE:-}}" ]; then # not beside the sources
    unset PYTHONDONTWRITEBYTECODE
    [ -n "${{PYTHONPYCACHEPREFIX:-}}" ] || export PYTHONPYCACHEPREFIX={bytecode}
fi
exec {python} -P -m monitor "$@"
"""


def set_up(lock):
    """Bring the environment to the lock, from nothing unless the worker's lock is installed.

    What was downloaded before comes from the cache of pip or uv, also after an interruption.
    """
    added = lock == EVERYTHING and holds(WORKER) and not mark(EVERYTHING).exists()
    if added:
        mark(WORKER).unlink()  # both locks name the same versions: what is in use does not change
    else:
        if in_use():
            stop(
                ".venv must be made again for this version, and another ./run command uses it: "
                "stop that command first."
            )
        shutil.rmtree(VENV, ignore_errors=True)
        step("creating .venv", sys.executable, "-m", "venv", "--without-pip", VENV)
        libraries = sysconfig.get_path("purelib", "venv", {"base": str(VENV)})
        Path(libraries, "rag_monitor.pth").write_text(f"{ROOT}\n", encoding="utf-8")
        launcher = BIN / "monitor"  # for scripts, as an installed package has it
        python, bytecode = (shlex.quote(str(path)) for path in (PYTHON, BYTECODE))
        launched = LAUNCHER.format(python=python, bytecode=bytecode)
        launcher.write_text(launched, encoding="utf-8")
        launcher.chmod(0o755)
    install(lock)
    for name in {WORKER, lock}:
        mark(name).write_text(digest(name))


def become(*command):
    """Replace this process, so that signals reach the command itself.

    Where no byte code shall be written beside the sources, it is kept in the environment: without
    any, each command compiles all modules, which doubles the time that it takes to start.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        # Python takes an empty one for none.
        os.environ["PYTHONPYCACHEPREFIX"] = os.environ.get("PYTHONPYCACHEPREFIX") or str(BYTECODE)
    if os.name == "nt":
        sys.exit(subprocess.run(command).returncode)
    os.execv(command[0], command)


CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))
TESTS = {  # Option → steps before the tests, and which tests.
    (): (CHECKS, ("-m", "not slow")),
    ("--fast",): (CHECKS, ("tests/unit", "-m", "not slow and not search")),
    ("--slow",): ((), ("-m", "slow")),
}


def test(steps, which):
    for command in steps:
        print("run:", *command, file=sys.stderr, flush=True)
        if subprocess.run([BIN / command[0], *command[1:]]).returncode:
            stop(f"{' '.join(command)} failed")
    # Half of the tests wait for something; three at a time wait together.
    become(str(PYTHON), "-m", "pytest", *which, "--numprocesses=3", "--dist=worksteal")


def needs_everything(arguments):
    parquet = arguments[0] == "export" and any(
        "parquet" in word or word == "--follow" for word in arguments
    )
    if arguments[0] == "compare":  # without two different sides it only prints help or an error
        return len(arguments) > 2 and arguments[1] != arguments[2] and "--help" not in arguments
    return arguments[0] in ("test", "install") or parquet


def main(arguments):
    if not arguments:
        stop(USAGE)
    if arguments[0] in ("build", "audit"):
        become(sys.executable, str(ROOT / "deploy" / "release.py"), *arguments)
    lock = EVERYTHING if needs_everything(arguments) else WORKER
    with locked():
        if not holds(lock):
            set_up(lock)
        use()
    if arguments == ["install"]:
        return
    if arguments[0] == "test":
        os.environ.pop("RAG_MONITOR_COMMAND", None)  # for people who copy hints
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
    except OSError as error:
        stop(f"{error.filename}: {error.strerror}; check the path, its permissions and the disk")
