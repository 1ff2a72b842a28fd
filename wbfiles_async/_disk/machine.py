"""Identifies machines, so that a process is only looked up where it ran. Blocking."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from functools import cache

__all__ = ["boot", "host"]


def host() -> str:
    """Return the machine's name; empty if it has none."""
    try:
        return socket.gethostname()
    except OSError:
        return ""


if sys.platform == "win32":

    @cache
    def boot() -> str:
        """Return the id of this installation, since Windows has no boot id: its locks end with a process."""
        import winreg

        with (
            suppress(OSError),
            winreg.OpenKey(
                winreg.HKEY_LOCAL_MACHINE,
                r"SOFTWARE\Microsoft\Cryptography",
                access=winreg.KEY_READ | winreg.KEY_WOW64_64KEY,
            ) as key,
        ):
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        return ""

elif sys.platform == "darwin":

    @cache
    def boot() -> str:
        """Return the boot id of the machine; empty if unknown."""
        import ctypes

        with suppress(OSError, AttributeError):
            read = ctypes.CDLL(None).sysctlbyname
            text = ctypes.create_string_buffer(64)
            length = ctypes.c_size_t(len(text))
            if read(b"kern.bootsessionuuid", text, ctypes.byref(length), None, ctypes.c_size_t(0)) == 0:
                return text.value.decode("ascii", "replace")
        return ""

else:

    @cache
    def boot() -> str:
        """Return the boot id of the machine; empty if unknown."""
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as text:
                return text.read().strip()
        except OSError:
            return ""
