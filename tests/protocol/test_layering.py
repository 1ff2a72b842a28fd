from __future__ import annotations

import ast
from pathlib import Path

import pytest

import wbfiles_async._protocol as package

MODULES = sorted(Path(package.__file__).parent.glob("*.py"))
OURS = ("wbfiles_async._protocol", "wbfiles_async._models", "wbfiles_async.errors")
# Whatever is not here is a client, does I/O, or makes `import wbfiles_async` slow (email, xml, http).
OTHERS = {
    "__future__", "abc", "array", "attrs", "binascii", "collections", "datetime", "enum", "fnmatch", "functools",
    "hashlib", "heapq", "ipaddress", "itertools", "json", "math", "re", "struct", "threading", "typing", "unicodedata",
    "urllib", "zlib",
}  # fmt: skip


def imported_by(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_pure_layer_imports_no_client_no_io_and_nothing_heavy(module: Path) -> None:
    foreign = {
        name for name in imported_by(module) if not name.startswith(OURS) and name.partition(".")[0] not in OTHERS
    }
    assert foreign == set()


def test_all_modules_of_the_layer_are_looked_at() -> None:
    assert {"urls", "names", "pages", "answers"} <= {module.stem for module in MODULES}
