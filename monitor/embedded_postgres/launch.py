"""Becomes a program of the server, running as another user, that cannot outlive its parent.

Run as a script, by its path (`python -I -S launch.py HOW UID GID TIE PARENT STALE WHERE PROGRAM
ARGUMENT…`), with only the standard library, so that it starts in about 15 ms.

HOW self: do not change the user; namespace: be UID and GID inside a user namespace, and the same
user outside; user: become UID and GID.

TIE kernel: the kernel ends the program with its parent (Linux); watch: stay, and watch the parent.

STALE: a process id in the directory's lock files that is known to be no server; 0: none. WHERE: the
working directory.

Exits with REFUSED, and the reason on standard error, if it cannot become the given user, or as that
user cannot reach WHERE or PROGRAM.
"""

import ctypes
import errno
import os
import signal
import sys

REFUSED = 71
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_FORWARDED = {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT}
_LOOK_EVERY_S = 0.2


def become(how: str, uid: int, gid: int) -> None:
    """Change the user; OSError if that is refused."""
    if how == "namespace":
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        outside_uid, outside_gid = os.geteuid(), os.getegid()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWUSER):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        for name, text in (
            ("setgroups", "deny"),  # the kernel takes a gid_map from us on this condition only
            ("uid_map", f"{uid} {outside_uid} 1"),
            ("gid_map", f"{gid} {outside_gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 pathlib doubles our start
                file.write(text)
    elif how == "user":
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def tie(parent: int) -> None:
    """Make the kernel send us a fast shutdown when the parent dies.

    Must come after `become`, which would undo it, and before a check of the parent, which may have
    died in between.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def watch(parent: int, command: list[str], environment: dict[str, str]) -> int:
    """Run the program until it ends, or until the parent does; returns its exit status."""
    signals = _FORWARDED | {signal.SIGCHLD, signal.SIGALRM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # BSD drops an ignored signal, blocked or not
    child = os.posix_spawn(command[0], command, environment, setsigmask=())
    signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY_S, _LOOK_EVERY_S)
    while True:
        number = signal.sigwait(signals)
        if number in _FORWARDED:
            os.kill(child, number)
        elif os.getppid() != parent:
            os.kill(child, signal.SIGINT)
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return abs(os.waitstatus_to_exitcode(status))


def main() -> None:
    how, uid, gid, by, parent, stale, where, *command = sys.argv[1:]
    environment = {"LC_ALL": "C", "TZ": "UTC"}  # nothing of PG*, LD_* or the locale
    if int(stale):
        # Postgres then treats the lock files as stale. Unlike removing them, this keeps its check
        # for orphans that still use the shared memory named there.
        environment["PG_GRANDPARENT_PID"] = stale
    try:
        become(how, int(uid), int(gid))
        os.chdir(where)
        if by == "watch":
            sys.exit(watch(int(parent), command, environment))
        tie(int(parent))
        os.execve(command[0], command, environment)  # noqa: S606 no shell is the point
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        sys.stderr.write(f"{reason}\n")
        sys.exit(REFUSED)


if __name__ == "__main__":
    main()
