"""Runs cases in forks of one process, so that Python starts and imports once for all of them.

Each case is a line of stdin, a JSON list of its folder and its arguments. The answer is the pid of its process, which
waits in its folder, with stdout and stderr in ``out`` and ``err`` there, until the next line, which is empty. The
second answer is its exit code.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module

import wbfiles_async


def load_modules() -> None:
    """Import the package's modules."""
    for module in pkgutil.walk_packages(wbfiles_async.__path__, "wbfiles_async."):
        if not module.name.endswith("__main__") and module.name.split(".")[1] not in ("testing", "_cli"):
            import_module(module.name)


def serve(run: Callable[..., object]) -> None:
    """Call ``run`` with the arguments of each case, in a process of its own."""
    while threading.active_count() > 1:  # those of an earlier download are ending
        time.sleep(0.01)
    print("ready", flush=True)
    while line := sys.stdin.readline():
        folder, *arguments = json.loads(line)
        waiting, go = os.pipe()
        prepared, is_prepared = os.pipe()
        child = os.fork()
        if not child:
            os.close(go)
            os.close(prepared)
            os.chdir(folder)
            for name, descriptor in (("out", 1), ("err", 2)):
                file = os.open(name, os.O_WRONLY | os.O_CREAT)
                os.dup2(file, descriptor)
                os.close(file)
            os.close(is_prepared)  # nothing else is called before the case begins
            os.read(waiting, 1)
            run(*arguments)
            return
        os.close(waiting)
        os.close(is_prepared)
        os.read(prepared, 1)  # until the process closes it
        os.close(prepared)
        print(child, flush=True)
        sys.stdin.readline()
        os.close(go)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
