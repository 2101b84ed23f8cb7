"""Become another program, under another account if asked, that does not outlive the process which wanted it.

Run as a script in a fresh interpreter, because what it does between fork and exec is unsafe in a child forked from a
process with threads. https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def launch(parent: int, uid: int, gid: int, death_signal: int, command: list[str]) -> None:
    """Replace this process by `command` (absolute program path and arguments), run as `uid` and `gid`.

    On Linux the kernel sends it `death_signal` as soon as the thread that started this process ends; elsewhere the
    next start finds and ends what was left over. `parent` is the process id that must still be there.
    """
    os.umask(0o077)
    os.chdir("/")
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # Only now: changing the user id clears the request.
    if sys.platform == "linux" and libc.prctl(_PR_SET_PDEATHSIG, death_signal) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")
    if os.getppid() != parent:
        sys.exit("the process that wanted this program has gone")
    # Calls the program of an installation chosen by the supervisor, without a shell.
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    _parent, _uid, _gid, _death_signal = map(int, sys.argv[1:5])
    try:
        launch(_parent, _uid, _gid, _death_signal, sys.argv[5:])
    except OSError as error:
        sys.exit(f"FATAL: cannot run {sys.argv[5]} as user id {_uid}: {error.strerror}")
