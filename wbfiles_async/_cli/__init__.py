"""The command line, ``wbfiles``: an entry point that reports what is missing before anything optional is imported."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

_EXTRA = ("click", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``wbfiles`` and return its exit code.

    Args:
        arguments: The command line without the program's name; ``None`` for that of this process.
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
    except KeyboardInterrupt:  # before the start of any work, which handles interruptions itself
        return 128 + signal.SIGINT
