"""A FUSE file system that forwards all calls to a folder, and delays the answers of metadata calls, like a network.

python -m benchmarks.slow_disk_server FOLDER SECONDS MOUNT_POINT

A call runs at once and its answer waits in a queue, so that one thread serves any number of concurrent calls.
Reading and writing are not delayed; closing a written file is, since NFS then sends the data.
Source of the numbers and layouts: Linux's ``include/uapi/linux/fuse.h``, protocol 7.31.
"""

from __future__ import annotations

import ctypes
import errno
import heapq
import os
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs

_HEADER = struct.Struct("<IIQQIIII")
_ANSWER = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_ENTRY = struct.Struct("<4Q2I")
_SETATTR = struct.Struct("<2I6Q8I")
_IO = struct.Struct("<QQI")
_IO_HEADER = 40
_INIT = struct.Struct("<4I2H2I2H2I24x")
_STATFS = struct.Struct("<5Q4I24x")

_LARGEST_WRITE = 128 << 10
_FLAGS = 1 | 1 << 3 | 1 << 5 | 1 << 18
"""Asynchronous reads, O_TRUNC within OPEN, large writes, and concurrent calls in one folder, as NFS has them."""

_CACHED_SECONDS = 1
"""Seconds for which the kernel may cache names and attributes; missing names are not cached."""

_MODE, _SIZE, _ATIME, _MTIME, _ATIME_NOW, _MTIME_NOW = 1, 8, 16, 32, 128, 256

Reply = bytes | None


@attrs.define(eq=False)
class _Node:
    """A file or folder that the kernel knows, by the name that it got last."""

    parent: _Node | None
    name: bytes

    def path(self, root: bytes) -> bytes:
        return root if self.parent is None else self.parent.path(root) + b"/" + self.name


class SlowDisk:
    """Answers the kernel's requests.

    Args:
        device: The open ``/dev/fuse``, mounted.
        root: The folder that calls are forwarded to.
        delay: Seconds until a metadata call is answered.
    """

    def __init__(self, device: int, root: bytes, delay: float) -> None:
        self._device, self._root, self._delay = device, root, delay
        self._nodes = {1: _Node(None, b"")}
        self._numbers: dict[tuple[_Node, bytes], int] = {}
        self._written: set[int] = set()
        self._listings: dict[int, list[tuple[bytes, int, int]]] = {}
        self._waiting: list[tuple[float, int, bytes]] = []
        self._buffer = bytearray(_LARGEST_WRITE + 4096)
        self._calls: dict[int, tuple[Callable[[int, bytes], Reply], bool]] = {
            1: (self._lookup, True),
            3: (self._getattr, True),
            4: (self._setattr, True),
            5: (lambda node, _: os.readlink(self._path(node)), True),
            6: (self._symlink, True),
            9: (self._mkdir, True),
            10: (lambda node, body: self._remove(os.unlink, node, body), True),
            11: (lambda node, body: self._remove(os.rmdir, node, body), True),
            12: (lambda node, body: self._rename(node, body, 8), True),
            13: (self._link, True),
            14: (self._open, True),
            15: (self._read, False),
            16: (self._write, False),
            17: (self._statfs, True),
            18: (self._release, False),
            20: (self._fsync, True),
            25: (lambda _, body: b"", False),  # delayed if something was written
            26: (self._init, False),
            27: (self._opendir, True),
            28: (self._readdir, False),
            29: (self._releasedir, False),
            30: (lambda _, body: b"", True),
            34: (lambda _, body: b"", True),
            35: (self._create, True),
            45: (lambda node, body: self._rename(node, body, 16), True),
        }

    def serve(self) -> None:
        """Serve until the file system is unmounted."""
        os.set_blocking(self._device, False)
        while True:
            wait = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            readable, _, _ = select.select([self._device], [], [], wait)
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                self._send(heapq.heappop(self._waiting)[2])
            if readable and not self._receive(now):
                return

    def _receive(self, now: float) -> bool:
        """Handle a request; return whether the file system is still mounted."""
        while True:
            try:
                length = os.readv(self._device, [self._buffer])
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return False
                if error.errno in (errno.EINTR, errno.ENOENT):  # the latter: the request was cancelled
                    continue
                raise
            _, call, unique, node, *_ = _HEADER.unpack_from(self._buffer)
            body = bytes(self._buffer[_HEADER.size : length])
            if call in (2, 36, 38, 42):  # forgotten nodes, interrupts and the end need no answer
                continue
            work, is_slow = self._calls.get(call, (_unknown, False))
            if call == 25 and (file := int.from_bytes(body[:8], "little")) in self._written:
                self._written.discard(file)
                is_slow = True
            try:
                reply, error_number = work(node, body) or b"", 0
            except OSError as error:
                reply, error_number = b"", error.errno or errno.EIO
            answer = _ANSWER.pack(_ANSWER.size + len(reply), -error_number, unique) + reply
            if is_slow:
                heapq.heappush(self._waiting, (now + self._delay, unique, answer))
            else:
                self._send(answer)

    def _send(self, answer: bytes) -> None:
        try:
            os.write(self._device, answer)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):  # its caller no longer waits
                raise

    def _path(self, node: int, name: bytes = b"") -> bytes:
        path = self._nodes[node].path(self._root)
        return path + b"/" + name if name else path

    def _entry(self, node: int, name: bytes) -> bytes:
        """Return the status of a name; raises if there is none."""
        attributes = _packed(os.lstat(self._path(node, name)))
        parent = self._nodes[node]
        number = self._numbers.setdefault((parent, name), len(self._nodes) + 1)
        if number not in self._nodes:
            self._nodes[number] = _Node(parent, name)
        return _ENTRY.pack(number, 0, _CACHED_SECONDS, _CACHED_SECONDS, 0, 0) + attributes

    def _init(self, _: int, body: bytes) -> bytes:
        readahead = int.from_bytes(body[8:12], "little")
        return _INIT.pack(7, 31, readahead, _FLAGS, 64, 48, _LARGEST_WRITE, 1, 0, 0, 0, 0)

    def _lookup(self, node: int, body: bytes) -> bytes:
        return self._entry(node, body[:-1])

    def _getattr(self, node: int, body: bytes) -> bytes:
        return struct.pack("<Q2I", _CACHED_SECONDS, 0, 0) + _packed(os.lstat(self._path(node)))

    def _setattr(self, node: int, body: bytes) -> bytes:
        fields = _SETATTR.unpack_from(body)
        valid, size, atime, mtime, atime_ns, mtime_ns, mode = (fields[index] for index in (0, 3, 5, 6, 8, 9, 11))
        path = self._path(node)
        if valid & _MODE:
            os.chmod(path, stat.S_IMODE(mode))
        if valid & _SIZE:
            os.truncate(path, size)
        if valid & (_ATIME | _MTIME):
            found, now = os.lstat(path), time.time_ns()
            times = [
                now if valid & current else seconds * 10**9 + nanoseconds if valid & given else before
                for current, given, seconds, nanoseconds, before in (
                    (_ATIME_NOW, _ATIME, atime, atime_ns, found.st_atime_ns),
                    (_MTIME_NOW, _MTIME, mtime, mtime_ns, found.st_mtime_ns),
                )
            ]
            os.utime(path, ns=(times[0], times[1]), follow_symlinks=False)
        return self._getattr(node, body)

    def _symlink(self, node: int, body: bytes) -> bytes:
        name, target, _ = body.split(b"\0")
        os.symlink(target, self._path(node, name))
        return self._entry(node, name)

    def _mkdir(self, node: int, body: bytes) -> bytes:
        mode, name = int.from_bytes(body[:4], "little"), body[8:-1]
        os.mkdir(self._path(node, name), mode)
        return self._entry(node, name)

    def _remove(self, remove: Callable[[bytes], None], node: int, body: bytes) -> bytes:
        remove(self._path(node, body[:-1]))
        name = self._nodes[node], body[:-1]
        number = self._numbers.pop(name, 0)
        if (file := self._nodes.get(number)) is not None and (file.parent, file.name) == name:
            others = (other for other, same in self._numbers.items() if same == number)
            file.parent, file.name = next(others, name)
        return b""

    def _rename(self, node: int, body: bytes, header: int) -> bytes:
        folder = int.from_bytes(body[:8], "little")
        if header == 16 and int.from_bytes(body[8:12], "little"):
            raise OSError(errno.EINVAL, "no exchange and the like")
        old, new, _ = body[header:].split(b"\0")
        os.rename(self._path(node, old), self._path(folder, new))
        if (number := self._numbers.pop((self._nodes[node], old), None)) is not None:
            moved = self._nodes[number]
            moved.parent, moved.name = self._nodes[folder], new
            self._numbers[moved.parent, new] = number
        return b""

    def _link(self, node: int, body: bytes) -> bytes:
        linked, name = int.from_bytes(body[:8], "little"), body[8:-1]
        os.link(self._path(linked), self._path(node, name), follow_symlinks=False)
        file, folder = self._nodes[linked], self._nodes[node]
        file.parent, file.name = folder, name
        self._numbers[folder, name] = linked
        return self._entry(node, name)

    def _open(self, node: int, body: bytes) -> bytes:
        flags = int.from_bytes(body[:4], "little")
        return struct.pack("<Q2I", os.open(self._path(node), flags & ~os.O_NOFOLLOW), 0, 0)

    def _create(self, node: int, body: bytes) -> bytes:
        flags, mode = struct.unpack_from("<2I", body)
        name = body[16:-1]
        file = os.open(self._path(node, name), flags, mode)
        return self._entry(node, name) + struct.pack("<Q2I", file, 0, 0)

    def _read(self, _: int, body: bytes) -> bytes:
        file, offset, size = _IO.unpack_from(body)
        return os.pread(file, size, offset)

    def _write(self, _: int, body: bytes) -> bytes:
        file, offset, _ = _IO.unpack_from(body)
        self._written.add(file)
        return struct.pack("<2I", os.pwrite(file, body[_IO_HEADER:], offset), 0)

    def _release(self, _: int, body: bytes) -> bytes:
        file = int.from_bytes(body[:8], "little")
        self._written.discard(file)
        os.close(file)
        return b""

    def _fsync(self, _: int, body: bytes) -> bytes:
        os.fsync(int.from_bytes(body[:8], "little"))
        return b""

    def _statfs(self, node: int, _: bytes) -> bytes:
        found = os.statvfs(self._path(node))
        counts = (found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree)
        return _STATFS.pack(*counts, found.f_bsize, found.f_namemax, found.f_frsize, 0)

    def _opendir(self, node: int, _: bytes) -> bytes:
        with os.scandir(self._path(node)) as entries:
            found = [(entry.name, entry.inode(), entry.stat(follow_symlinks=False).st_mode) for entry in entries]
        self._listings[number := len(self._listings) + 1] = found
        return struct.pack("<Q2I", number, 0, 0)

    def _readdir(self, _: int, body: bytes) -> bytes:
        number, offset, size = _IO.unpack_from(body)
        listed = b""
        for index, (name, inode, mode) in enumerate(self._listings[number][offset:], offset + 1):
            entry = struct.pack("<2Q2I", inode, index, len(name), stat.S_IFMT(mode) >> 12) + name
            entry += bytes(-len(entry) % 8)
            if len(listed) + len(entry) > size:
                break
            listed += entry
        return listed

    def _releasedir(self, _: int, body: bytes) -> bytes:
        self._listings[int.from_bytes(body[:8], "little")] = []
        return b""


def _unknown(_: int, body: bytes) -> bytes:
    raise OSError(errno.ENOSYS, "not known here")


def _packed(found: os.stat_result) -> bytes:
    times = [divmod(time_ns, 10**9) for time_ns in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)]
    seconds, nanoseconds = zip(*times, strict=True)
    owner = (found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_rdev, found.st_blksize, 0)
    return _ATTRIBUTES.pack(found.st_ino, found.st_size, found.st_blocks, *seconds, *nanoseconds, *owner)


def _mount(point: Path) -> int:
    """Mount by ``fusermount3``, as any user may; return the open device."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = ["fusermount3", "-o", "fsname=slow_disk,subtype=slow", "--", str(point)]
        environment = os.environ | {"_FUSE_COMMFD": str(theirs.fileno())}
        subprocess.run(command, check=True, pass_fds=[theirs.fileno()], env=environment)
        _, [device], _, _ = socket.recv_fds(ours, 1, 1)
    return device


def _main(folder: Path, seconds: float, point: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: subprocess.run(["fusermount3", "-u", "-z", str(point)], check=False))
    os.umask(0)
    ctypes.CDLL(None).prctl(29, 1000, 0, 0, 0)  # PR_SET_TIMERSLACK: waits end in time
    SlowDisk(_mount(point), os.fsencode(folder.resolve()), seconds).serve()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
