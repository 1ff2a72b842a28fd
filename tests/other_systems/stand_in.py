"""Makes the package run as on Windows or macOS, as far as Linux can simulate them.

With this folder in PYTHONPATH, and ``win32`` or ``darwin`` in WBFILES_TESTS_SYSTEM, each module of ``wbfiles_async``
gets stand-ins for some modules of Python, which lack what that system lacks, have what it has instead, and refuse
what it refuses. Nothing else changes: the tests, other libraries and Python itself see the real system, and what a
test replaces in `os` is replaced here too.

Not simulated: paths with backslashes, names that the disk cannot hold, and other behaviour of the kernel.
"""

from __future__ import annotations

import builtins
import errno
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

PACKAGE = "wbfiles_async"
SYSTEM = os.environ.get("WBFILES_TESTS_SYSTEM", "win32")
SHARING_VIOLATION = 32
O_BINARY, O_NOINHERIT = 1 << 28, 1 << 29

MISSING_ON_MACOS = {
    "os": {"O_PATH", "O_TMPFILE", "fdatasync", "posix_fadvise", "posix_fallocate", "preadv", "pwritev"}
    | {"getresuid", "sched_getaffinity"},
    "fcntl": {"F_SETLEASE", "F_GETLEASE", "F_SETSIG", "F_GETSIG", "F_NOTIFY"},
}

MISSING_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"}
MISSING = {
    "os": {
        *("O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH", "O_SYNC"),
        *("O_TMPFILE", "ST_RDONLY", "chown", "fchdir", "fchmod", "fchown", "fdatasync", "fork", "forkpty"),
        *("fstatvfs", "getegid", "geteuid", "getgid", "getloadavg", "getpgid", "getresuid", "getuid", "killpg"),
        *("lchown", "lockf", "mkfifo", "mknod", "nice", "openpty", "pathconf", "posix_fadvise", "posix_fallocate"),
        *("pread", "preadv", "pwrite", "pwritev", "readv", "register_at_fork", "sched_getaffinity", "sendfile"),
        *("setsid", "setuid", "statvfs", "sync", "sysconf", "uname", "wait", "writev"),
    },
    "signal": {"SIGHUP", "SIGKILL", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGPIPE", "pthread_sigmask", "setitimer"},
    "select": {"epoll", "poll"},
    "socket": {"AF_UNIX", "MSG_DONTWAIT", "sethostname"},
}


class StandIn(ModuleType):
    """A module without some of its names, and with some replaced."""

    def __init__(self, real: ModuleType, missing: set[str], other: Mapping[str, object]) -> None:
        super().__init__(real.__name__)
        vars(self).update(other, _real=real, _missing=missing)

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module {self._real.__name__!r} has no attribute {name!r}", name=name, obj=self)
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._real, name, value)


def as_held(path: object) -> PermissionError:
    """Return the error of Windows for a file that somebody has open."""
    error = PermissionError(errno.EACCES, "The process cannot access the file, another process uses it", path)
    error.winerror = SHARING_VIOLATION  # type: ignore[attr-defined]
    return error


def check_closed(path: str) -> None:
    """Refuse files that this process has open, like Windows: Python opens files without sharing renames or removals."""
    try:
        found = os.lstat(path)
    except OSError:
        return
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            held = os.fstat(int(descriptor))
        except OSError:
            continue
        if os.path.samestat(held, found):
            raise as_held(path)


def no_folders(call: Callable[..., Any]) -> Callable[..., Any]:
    """Make a call refuse open folders in place of paths, and open files if it requires paths."""

    def checked(*arguments: Any, **options: Any) -> Any:
        if any(options.get(name) is not None for name in ("dir_fd", "src_dir_fd", "dst_dir_fd")):
            raise NotImplementedError("dir_fd unavailable on this platform")
        return getattr(os, call.__name__)(*arguments, **options)

    return checked


def os_open(path: Any, flags: int, mode: int = 0o777) -> int:
    if not flags & O_BINARY and path != os.devnull:
        raise AssertionError(f"{path} would be opened as text, with two bytes for each line feed")
    return os.open(path, flags & ~(O_BINARY | O_NOINHERIT), mode)


def os_rename(source: str, target: str) -> None:
    check_closed(source)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
    os.rename(source, target)


def os_replace(source: str, target: str) -> None:
    check_closed(source)
    check_closed(target)
    os.replace(source, target)


def os_unlink(path: str) -> None:
    check_closed(path)
    os.unlink(path)


def os_utime(path: Any, *arguments: Any, **options: Any) -> None:
    if isinstance(path, int):
        raise TypeError("utime: path should be string, bytes or os.PathLike, not int")
    os.utime(path, *arguments, **options)


def locking(file: int, mode: int, count: int) -> None:
    """Lock as ``msvcrt.locking`` does: for one descriptor, until it is closed."""
    import fcntl

    if (mode, count) != (2, 1):
        raise NotImplementedError
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


class Key:
    """A key of the registry."""

    def __enter__(self) -> Key:
        return self

    def __exit__(self, *_: object) -> None: ...


class Kernel32:
    """A stand-in for ``ctypes.WinDLL("kernel32")``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def DeviceIoControl(self, *arguments: object) -> int:
        return int(len(arguments) == 8)


def made(name: str, **content: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module


class LibC:
    """A stand-in for ``ctypes.CDLL(None)`` on macOS."""

    def __init__(self, name: None) -> None: ...

    def sysctlbyname(self, name: bytes, text: Any, length: object, new: None, new_length: object) -> int:
        text.value = b"0F4E1D1C-0000-4000-8000-000000000000"
        return 0 if name == b"kern.bootsessionuuid" else -1


def as_macos() -> dict[str, ModuleType]:
    """Return the stand-ins for macOS."""
    import ctypes
    import fcntl

    return {
        "os": StandIn(os, MISSING_ON_MACOS["os"], {}),
        "sys": StandIn(sys, set(), {"platform": "darwin"}),
        "fcntl": StandIn(fcntl, MISSING_ON_MACOS["fcntl"], {"F_FULLFSYNC": 51}),
        "ctypes": StandIn(ctypes, set(), {"CDLL": LibC}),
    }


def as_windows() -> dict[str, ModuleType]:
    """Return the stand-ins for Windows."""
    import ctypes

    calls = ("stat", "lstat", "mkdir", "readlink", "link", "symlink", "access", "chmod", "rmdir", "scandir", "listdir")
    return {
        "os": StandIn(
            os,
            MISSING["os"],
            {name: no_folders(getattr(os, name)) for name in calls}
            | {"open": os_open, "rename": os_rename, "replace": os_replace, "unlink": os_unlink, "remove": os_unlink}
            | {"utime": os_utime, "O_BINARY": O_BINARY, "O_NOINHERIT": O_NOINHERIT, "supports_dir_fd": set()}
            | {"supports_effective_ids": set(), "supports_follow_symlinks": {os.stat}},
        ),
        "sys": StandIn(sys, set(), {"platform": "win32"}),
        "signal": StandIn(signal, MISSING["signal"], {"SIGBREAK": signal.SIGUSR1}),
        "socket": StandIn(socket, MISSING["socket"], {}),
        "selectors": StandIn(selectors, set(), {"DefaultSelector": selectors.SelectSelector}),
        "ctypes": StandIn(ctypes, set(), {"WinDLL": Kernel32}),
        "msvcrt": made("msvcrt", LK_NBLCK=2, locking=locking, get_osfhandle=lambda file: file),
        "winreg": made(
            "winreg",
            **dict.fromkeys(("HKEY_LOCAL_MACHINE", "KEY_READ", "KEY_WOW64_64KEY"), 0),
            OpenKey=lambda key, path, access: Key(),
            QueryValueEx=lambda key, name: ("0f4e1d1c-0000-4000-8000-000000000000", 1),
        ),
    }


def use_windows_loops() -> ModuleType:
    """Make new event loops lack what those of Windows lack, and the unusual one know no signals."""
    import asyncio

    def refused(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if not sys._getframe(1).f_globals["__name__"].startswith("asyncio."):  # which needs them itself
                raise NotImplementedError
            return real(*arguments)

        return call

    def without(*names: str) -> Any:
        content = {name: refused(getattr(asyncio.SelectorEventLoop, name)) for name in names}
        return type("Loop", (asyncio.SelectorEventLoop,), content)

    Loop = without("add_reader", "remove_reader", "add_writer", "remove_writer", "add_signal_handler")

    class Policy(asyncio.DefaultEventLoopPolicy):
        _loop_factory = Loop

    asyncio.set_event_loop_policy(Policy())
    return StandIn(asyncio, set(), {"SelectorEventLoop": without("add_signal_handler")})


class Finder(MetaPathFinder):
    """Finds the package's modules, and gives them other builtins, with another import."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._builtins = vars(builtins) | {"__import__": self._import}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] != PACKAGE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            spec.loader = Loader(name, spec.origin, self._builtins)
        return spec

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0:
            self._modules = self._modules or {"win32": as_windows, "darwin": as_macos}[SYSTEM]()
            if name in MISSING_MODULES and SYSTEM == "win32":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in self._modules:
                return self._modules[name]
            if name == "asyncio" and SYSTEM == "win32":
                self._modules[name] = use_windows_loops()
                return self._modules[name]
        return builtins.__import__(name, globals, locals, fromlist, level)


class Loader(SourceFileLoader):
    """Runs a module with other builtins."""

    def __init__(self, name: str, path: str, others: dict[str, Any]) -> None:
        super().__init__(name, path)
        self._others = others

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._others
        super().exec_module(module)


class Finders(list[Any]):
    """Stays first: pytest inserts itself before all others, and would run the modules of plugins itself."""

    def insert(self, index: Any, finder: Any) -> None:
        super().insert(max(1, index), finder)


def install() -> None:
    """Start the simulation for all modules of the package imported from now on, in this process and its children."""
    os.environ["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))
    sys.meta_path = Finders([Finder(), *sys.meta_path])
