"""How a transfer reports its progress."""

from __future__ import annotations

from typing import Protocol

import attrs


class Progress(Protocol):
    """Receives the progress of each file. Any object with these methods can be passed.

    The methods are called in the event loop's thread, so they must return quickly. An exception in one of them ends the
    download, which raises it; no partial file stays. Files that are kept, and downloads after a cancellation, are not
    reported: ``on_result`` receives the result of each file. A file of up to a megabyte is mostly reported when it is
    complete, in one call.

    An optional method ``resumed``, with the arguments of ``advanced``, is called for the bytes of an earlier,
    interrupted download; without it they are reported by ``advanced``.

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
        """The transfer of a file starts.

        Args:
            name: The file's name in the run.
            total: Its length in bytes, if known.
        """

    def advanced(self, name: str, count: int) -> None:
        """More bytes of a file arrived; negative if a file is started again.

        Args:
            name: The file's name in the run.
            count: How many bytes more.
        """

    def finished(self, name: str) -> None:
        """The file is complete."""

    def failed(self, name: str, error: Exception) -> None:
        """The file could not be transferred."""


def report_resumed(progress: Progress, name: str, count: int) -> None:
    """Report bytes of an earlier download: separately, if the object distinguishes them.

    Those have a method ``resumed``, with the arguments of ``advanced``.
    """
    getattr(progress, "resumed", progress.advanced)(name, count)


def labelled(progress: Progress | None, label: str) -> Progress | None:
    """Prefixes each reported name with a label, since files of several runs may have the same name."""
    return progress if progress is None or not label else _Labelled(progress, label)


@attrs.frozen
class _Labelled:
    _progress: Progress
    _label: str

    def started(self, name: str, total: int | None) -> None:
        self._progress.started(self._label + name, total)

    def advanced(self, name: str, count: int) -> None:
        self._progress.advanced(self._label + name, count)

    def resumed(self, name: str, count: int) -> None:
        report_resumed(self._progress, self._label + name, count)

    def finished(self, name: str) -> None:
        self._progress.finished(self._label + name)

    def failed(self, name: str, error: Exception) -> None:
        self._progress.failed(self._label + name, error)
