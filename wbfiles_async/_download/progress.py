"""How a transfer reports its progress."""

from __future__ import annotations

from typing import Protocol

import attrs


class Progress(Protocol):
    """Receives the progress, file by file; any object with these methods can be passed.

    Called in the event loop's thread, so it must return quickly. An exception it raises ends the download, which
    raises it; nothing unfinished stays behind. An existing file that is kept is not reported, nor is a download after
    it was cancelled: ``on_result`` receives each file's result. A file of up to a megabyte is mostly reported only once
    it is in place, all at once.

    An object may have a method ``resumed``, with the arguments of ``advanced``: it is called for the bytes that an
    earlier, interrupted download had brought, which are else reported as advanced.

    Examples:
        ```python
        class Count:
            arrived = 0

            def started(self, name, total): ...

            def advanced(self, name, count):
                self.arrived += count

            def finished(self, name): ...

            def failed(self, name, error): ...

        count = Count()
        api.run("my-team/my-project/1a2b3c4d").download("data", progress=count)
        print(count.arrived, "bytes")
        ```
    """

    def started(self, name: str, total: int | None) -> None:
        """A file's transfer begins.

        Args:
            name: The file's name in the run.
            total: Its length in bytes, if known.
        """

    def advanced(self, name: str, count: int) -> None:
        """More bytes of a file arrived; negative if a file is begun again.

        Args:
            name: The file's name in the run.
            count: How many bytes more.
        """

    def finished(self, name: str) -> None:
        """The file is in place."""

    def failed(self, name: str, error: Exception) -> None:
        """The file is not, and will not be."""


def report_resumed(progress: Progress, name: str, count: int) -> None:
    """Report bytes that an earlier download had brought: apart from those that arrive, to objects that tell them apart.

    Those have a method ``resumed``, with the arguments of ``advanced``.
    """
    getattr(progress, "resumed", progress.advanced)(name, count)


def labelled(progress: Progress | None, label: str) -> Progress | None:
    """Put a label before each reported name: files of several runs may have the same name."""
    return progress if progress is None or not label else _Labelled(progress, label)


@attrs.frozen
class _Labelled:
    _told: Progress
    _label: str

    def started(self, name: str, total: int | None) -> None:
        self._told.started(self._label + name, total)

    def advanced(self, name: str, count: int) -> None:
        self._told.advanced(self._label + name, count)

    def resumed(self, name: str, count: int) -> None:
        report_resumed(self._told, self._label + name, count)

    def finished(self, name: str) -> None:
        self._told.finished(self._label + name)

    def failed(self, name: str, error: Exception) -> None:
        self._told.failed(self._label + name, error)
