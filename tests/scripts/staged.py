"""Writes files through a stage until it is killed or told to end.

python staged.py ROOT [publish]

It creates a stage in ROOT, prints a line when a file is half written in it, and ends when its input does. With
``publish`` the file is published before that line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wbfiles_async._disk.part_file import PartFile, default_mode
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._disk.staging import open_stage


def main(root: Path, *, publishes: bool) -> None:
    target = TargetPath(root, ("a.bin",))
    stage = open_stage(target)
    file = PartFile(target)
    file.create_at_once(stage)
    file.write(0, [b"half"])
    if publishes:
        file.publish(mode=default_mode(), replace=False, durable=False)
    print("ready", flush=True)
    sys.stdin.read()
    file.discard()
    stage.remove()


if __name__ == "__main__":
    main(Path(sys.argv[1]), publishes=sys.argv[2:] == ["publish"])
