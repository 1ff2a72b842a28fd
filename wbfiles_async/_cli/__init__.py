"""The command line, ``wbfiles``: an entry point that reports what is missing before anything optional is imported."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

_EXTRA = ("click", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``wbfiles`` and return its exit code.

    Args:
        arguments: What follows the program's name; ``None`` for those of this process.
    """
    try:
        from wbfiles_async._cli.starting import start

        return start(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        print(
            f"wbfiles: the command line needs {' and '.join(_EXTRA)}; in a clone of the repository: "
            "python -m pip install '.[cli]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:  # before any work had begun, which knows how to stop
        return 128 + signal.SIGINT
