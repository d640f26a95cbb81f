"""Starts workers as forks of a process that has imported the program: a tenth of the time.

Each line of standard input is a JSON object with `environment`, `folder` and `log`; the answer is a
line with the process id, later one with its exit status. A fork is killed like any other process.
"""

import ctypes
import gc
import json
import os
import select
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    from monitor import identity
    from monitor.__main__ import main as program
    from monitor.cli import run

    assert run is not None  # it is imported once, here
    identity.prepare()
    gc.freeze()
    children: set[int] = set()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    buffer = b""
    say({"ready": True})
    while True:
        readable, _, _ = select.select([0, wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 4096)
            reap(children)
        if 0 not in readable:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            break
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                become(order)
                sys.argv = ["monitor", "run"]
                program()
                os._exit(0)
            children.add(pid)
            say({"pid": pid, "tag": order["tag"]})
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def become(order: dict[str, object]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    environment = order["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(order["folder"]))
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for fd in range(3, 16):
        try:
            os.close(fd)
        except OSError:
            continue


def reap(children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        children.discard(pid)
        say({"exited": pid, "status": os.waitstatus_to_exitcode(status)})


def say(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
