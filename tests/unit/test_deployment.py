"""The deployment files name what there is: files, commands, variables and keys."""

import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from monitor.__main__ import app
from monitor.config import load
from monitor.config.environment import REFERENCE, VARIABLES
from tests.case_tables import each

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile", "compose.yaml", "fly.toml", "Procfile", "deploy/monitor.service",
         "deploy/kubernetes.yaml")  # fmt: skip
COMMANDS = set(get_command(app).commands)  # type: ignore[attr-defined]


def read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def test_the_image_is_built_of_files_that_docker_sees() -> None:
    copied = [
        part
        for line in re.findall(r"^COPY (?!--from)(.+)$", read("Dockerfile"), re.MULTILINE)
        for part in line.split()[:-1]
    ]
    assert len(copied) > 6
    assert not [part for part in copied if not (ROOT / part).exists()]
    wheel = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {"pyproject.toml", *wheel["packages"], *wheel["force-include"]} <= set(copied)
    let_through = set(re.findall(r"^!(.+)$", read(".dockerignore"), re.MULTILINE))
    assert set(copied) == let_through


@pytest.mark.parametrize("file", FILES)
def test_a_command_that_is_started_exists(file: str) -> None:
    text = re.sub(r"^\s*#.*", "", read(file), flags=re.MULTILINE)
    named = re.findall(r"(?:\[|bin/|: |\")monitor\"?,? \"?([a-z-]+)", text)
    assert "run" in named
    assert set(named) <= COMMANDS


@pytest.mark.parametrize("file", [file for file in FILES if file != "Procfile"])
def test_a_variable_that_is_set_is_one_that_is_read(file: str) -> None:
    set_here = set(re.findall(r"\b(MONITOR_[A-Z_]+|DATABASE_URL|SLACK_[A-Z_]+)\b", read(file)))
    assert set_here
    assert set_here <= {*VARIABLES, "MONITOR_METRICS__PORT", "MONITOR_METRICS__HOST"}


@pytest.mark.parametrize(
    ("file", "setting"),
    [
        ("fly.toml", 'MONITOR_METRICS__HOST = "0.0.0.0"'),
        ("compose.yaml", 'MONITOR_METRICS__HOST: "0.0.0.0"'),
        ("deploy/kubernetes.yaml", 'host = "0.0.0.0"'),
    ],
)
def test_checks_from_outside_the_machine_reach_the_metrics_port(file: str, setting: str) -> None:
    """The default is loopback, which in a container only the container reaches."""
    assert "9091" in read(file)
    assert setting in read(file)


def test_the_metrics_port_is_bound_to_loopback_unless_configured_otherwise() -> None:
    target = REFERENCE.sub("key", read("examples/openai_compatible.toml"))
    served = load({"MONITOR_CONFIG_TOML": f"{target}\n[metrics]\nport = 9091\n"}).file.metrics
    assert served.host == "127.0.0.1"


def test_the_image_runs_as_an_unprivileged_user_and_owns_nothing_but_its_data() -> None:
    last = read("Dockerfile").rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\S+)$", last, re.MULTILINE) == ["10001"]
    assert re.findall(r"-o monitor (\S+)", last) == ["/data"]
    assert not re.search(r"chown|chmod|sudo|EXPOSE|ENTRYPOINT", last)


@pytest.mark.parametrize(("service", "writable"), [("migrate", set()), ("worker", {"/data"})])
def test_compose_gives_a_container_no_privilege(service: str, writable: set[str]) -> None:
    found = yaml.safe_load(read("compose.yaml"))["services"][service]
    assert (found["user"], found["read_only"], found["tmpfs"]) == ("10001", True, ["/tmp"])
    assert (found["cap_drop"], found["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert not found.keys() & {"cap_add", "privileged", "devices", "network_mode", "pid", "ipc"}
    volumes = found["volumes"]
    read_only = [one for one in volumes if isinstance(one, dict) and one["read_only"]]
    assert {one.split(":")[1] for one in volumes if one not in read_only} == writable
    assert all(port.startswith("127.0.0.1:") for port in found.get("ports", ()))


def test_the_database_of_compose_is_unprivileged_and_not_published() -> None:
    found = yaml.safe_load(read("compose.yaml"))["services"]["postgres"]
    assert (found["user"], found["cap_drop"]) == ("postgres", ["ALL"])
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert not found.keys() & {"cap_add", "privileged", "ports", "network_mode"}


def test_kubernetes_gives_a_pod_no_privilege() -> None:
    documents = yaml.safe_load_all(read("deploy/kubernetes.yaml"))
    [pod] = [one["spec"]["template"]["spec"] for one in documents if one["kind"] == "Deployment"]
    assert pod["automountServiceAccountToken"] is False
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    user = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001}
    assert user.items() <= pod["securityContext"].items()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    writable = {}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounts = container["volumeMounts"]
        writable[container["name"]] = {m["mountPath"] for m in mounts if not m.get("readOnly")}
    assert writable == {"migrate": {"/tmp"}, "worker": {"/tmp", "/data"}}


def test_the_configuration_in_the_kubernetes_manifest_is_whole() -> None:
    block = read("deploy/kubernetes.yaml").split("  monitor.toml: |\n")[1].split("\n---")[0]
    text = "\n".join(line.removeprefix("    ") for line in block.splitlines())
    keys = dict.fromkeys(REFERENCE.findall(text), "key-123456789")
    assert load({"MONITOR_CONFIG_TOML": text, **keys}).file.metrics.port == 9091
    assert keys.keys() <= set(re.findall(r"^  (\w+): ", read("deploy/kubernetes.yaml"), re.M))


def test_fly_scrapes_and_checks_the_port_that_is_served() -> None:
    fly = tomllib.loads(read("fly.toml"))
    port = int(fly["env"]["MONITOR_METRICS__PORT"])
    assert fly["metrics"]["port"] == fly["checks"]["cycle"]["port"] == port
    assert "http_service" not in fly


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "monitor.service"
    unit.write_text(
        read("deploy/monitor.service").replace("/opt/rag-monitor/bin/monitor", "/bin/true")
    )
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@each("arguments, everything", [
    ("compare a b", True),
    ("compare --target rag a b", True),
    ("compare a a", False),
    ("compare a", False),
    ("compare --help", False),
    ("compare a b --help", False),
    ("export --format parquet", True),
    ("export", False),
    ("run", False),
])  # fmt: skip
def test_a_comparison_that_is_refused_installs_no_extra(arguments: str, everything: bool) -> None:
    needs = runpy.run_path(str(ROOT / "bootstrap.py"))["needs_everything"]
    assert needs(arguments.split()) is everything
