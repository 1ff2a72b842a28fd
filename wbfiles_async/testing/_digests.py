"""The md5 of files, computed once for each state of a file. Does not know runs or HTTP."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path

from wbfiles_async.testing._freshness import is_settled

_CHUNK = 1 << 20
_REMEMBERED = 200_000

_State = tuple[Path, int, int, int]


class Digests:
    """Computes md5 digests and caches them by path, length, modification time and inode. Thread-safe."""

    def __init__(self) -> None:
        self._known: OrderedDict[_State, str] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def md5(self, path: Path) -> str | None:
        """Return the md5 as W&B writes it, base64 of its 16 bytes; ``None`` if the file does not exist.

        Raises:
            RuntimeError: ``close`` was called during the computation.
        """
        try:
            with path.open("rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                state = (path, status.st_size, status.st_mtime_ns, status.st_ino)
                with self._lock:
                    known = self._known.get(state)
                if known is not None:
                    return known
                settled = is_settled(status.st_mtime_ns)
                digest = hashlib.md5(usedforsecurity=False)
                while chunk := file.read(_CHUNK):
                    if self._closed.is_set():
                        raise RuntimeError("the server is closing")
                    digest.update(chunk)
        except FileNotFoundError:
            return None
        encoded = base64.b64encode(digest.digest()).decode("ascii")
        if settled:
            self._remember(state, encoded)
        return encoded

    def close(self) -> None:
        """Abort running computations, so that the md5 of a huge file does not delay the end of the server."""
        self._closed.set()

    def _remember(self, state: _State, encoded: str) -> None:
        with self._lock:
            self._known[state] = encoded
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
