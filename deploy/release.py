"""Builds what is released, and audits what is locked: `./run build` and `./run audit`.

Standard library only. The tools have an environment of their own, `.venv-release`, from a lock with
hashes (`deploy/release.lock`, generated from `release.in`: docs/operations.md#release).
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv-release"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
LOCK = ROOT / "deploy" / "release.lock"
WORKER, EVERYTHING = "requirements-worker.lock", "requirements.lock"  # the second holds the first
VULNERABLE, BAD_INPUT, UNKNOWN = 1, 2, 3  # exit statuses of an audit, beside 0
USAGE = """usage: ./run build [DIR]   the wheel and its CycloneDX SBOM; default dist/
       ./run audit         known vulnerabilities of the locked packages, by pip-audit"""


def stop(sentence, status=1):
    print(f"run: {sentence}", file=sys.stderr)
    sys.exit(status)


def call(what, *command):
    """Run a command to its end; stop with its last lines if it fails."""
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    if done.returncode:
        print(*done.stdout.splitlines()[-20:], sep="\n", file=sys.stderr)
        stop(f"{what} failed; the reason is above.")


def set_up():
    """Create the environment of the tools, unless this lock is installed in it."""
    mark, digest = VENV / "release.lock.sha256", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == digest:
        return
    print(f"run: installing {LOCK.name} in {VENV.name}", file=sys.stderr)
    shutil.rmtree(VENV, ignore_errors=True)
    call("creating .venv-release (Debian, Ubuntu: needs python3-venv)",
         sys.executable, "-m", "venv", VENV)  # fmt: skip
    call("installing the release tools", BIN / "python", "-m", "pip", "install", "--quiet",
         "--require-hashes", "--no-deps", "--requirement", LOCK)  # fmt: skip
    mark.write_text(digest)


def build(into):
    """Write the wheel and the SBOM of what it runs with. The same sources give the same bytes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = f"{project['name'].replace('-', '_')}-{project['version']}"
    into.mkdir(parents=True, exist_ok=True)
    call("building the wheel", BIN / "python", "-m", "hatchling", "build", "--target", "wheel",
         "--directory", into)  # fmt: skip
    bom = into / f"{name}.cdx.json"
    call("writing the SBOM", BIN / "cyclonedx-py", "requirements", WORKER,
         "--pyproject", "pyproject.toml", "--output-reproducible", "--validate",
         "--spec-version", "1.6", "--output-file", bom)  # fmt: skip
    for made in (*into.glob(f"{name}-*.whl"), bom):
        print(made)


def audit():
    """Report known vulnerabilities of all locked packages; the exit status."""
    ends = {audited(lock) for lock in (EVERYTHING, "deploy/release.lock")}
    return VULNERABLE if VULNERABLE in ends else max(ends)


def audited(lock):
    """Audit one lock by PyPI's advisories. What pip-audit cannot check is not a success."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        done = subprocess.run(
            [BIN / "pip-audit", "--requirement", lock, "--require-hashes", "--disable-pip",
             "--progress-spinner", "off", "--format", "json", "--output", report],
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        try:
            packages = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
        except (OSError, ValueError, KeyError):
            reason = (done.stderr.strip().splitlines() or ["no report"])[-1][:300]
            print(f"{lock}: NOT AUDITED, the advisories cannot be read: {reason}")
            return UNKNOWN
    skipped = [package for package in packages if "skip_reason" in package]
    found = [(package, flaw) for package in packages for flaw in package.get("vulns", ())]
    for package, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "no version"
        print(f"{lock}: {package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}")
    if len(skipped) == len(packages):
        reason = skipped[0]["skip_reason"] if skipped else "the lock is empty"
        print(f"{lock}: NOT AUDITED, there is no advisory source here: {reason}")
        return UNKNOWN
    for package in skipped:
        print(f"{lock}: {package['name']} NOT AUDITED: {package['skip_reason']}")
    print(f"{lock}: {len(packages) - len(skipped)} packages audited, {len(found)} vulnerabilities")
    if found:
        return VULNERABLE
    return UNKNOWN if skipped else 0


def main(arguments):
    if arguments[:1] == ["build"] and len(arguments) < 3:
        set_up()
        build(Path(*arguments[1:2]).resolve() if arguments[1:] else ROOT / "dist")
        return 0
    if arguments == ["audit"]:
        set_up()
        return audit()
    return stop(USAGE, BAD_INPUT)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        stop(f"{error.filename}: {error.strerror}; check the path, its permissions and the disk")
