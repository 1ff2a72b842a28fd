"""The package's modules know only those below them, and importing it loads little."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import attrs
import pytest

import wbfiles_async

PACKAGE = Path(wbfiles_async.__file__).parent
LAYERS = (
    ("testing", "_cli"),
    ("_sync", "_sequence", "_portal"),
    (
        *("_api", "_run", "_runs", "_files", "_file", "_facts", "_handle"),
        *("_gateway", "_projects", "_many", "_listing", "_deletion"),
    ),
    ("_display",),
    ("_transfer",),
    ("_auth", "_credentials"),
    ("_protocol",),
    ("_models", "_settings", "_text", "_html", "errors"),
)
"""From the top down. Modules of one layer may know each other."""

LEVELS = {module: level for level, layer in enumerate(LAYERS) for module in layer}
IO = {"aiofiles", "aiohttp", "anyio", "asyncio", "httpx", "socket", "ssl", "yarl"}
PURE = {"_protocol", "_models", "_settings", "_text", "_html", "errors"}


@attrs.frozen(order=True)
class Import:
    """One module names another.

    Attributes:
        importer: The module's name, without the package's.
        imported: The other's full name.
        only_for_types: Whether it is for type checkers alone.
        line: Where.
    """

    importer: str
    imported: str
    only_for_types: bool
    line: int

    @property
    def inner(self) -> str:
        """The imported module's name without the package's; empty for one of somebody else."""
        package, _, inner = self.imported.partition(".")
        return inner if package == wbfiles_async.__name__ else ""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def imports_of(path: Path) -> Iterator[Import]:
    importer = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                imported = _module(node.module or "", alias.name) if isinstance(node, ast.ImportFrom) else alias.name
                if alias.name != "__version__":
                    yield Import(importer, imported, node in for_types, node.lineno)


def _module(package: str, name: str) -> str:
    """Tell whether ``from package import name`` names a module, and give its name."""
    inner = PACKAGE.parent.joinpath(*package.split("."), name)
    return f"{package}.{name}" if inner.is_dir() or inner.with_suffix(".py").exists() else package


IMPORTS = sorted(
    found for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py" for found in imports_of(path)
)


def top(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_has_its_layer() -> None:
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules - {"__init__"} <= LEVELS.keys()


def test_modules_know_only_those_below() -> None:
    upwards = [found for found in IMPORTS if found.inner and LEVELS[top(found.inner)] < LEVELS[top(found.importer)]]
    assert list(map(str, upwards)) == []


def test_only_the_outermost_know_the_package_as_its_users_do() -> None:
    whole = {top(found.importer) for found in IMPORTS if found.imported == wbfiles_async.__name__}
    assert whole <= set(LAYERS[0])


def test_the_server_for_tests_and_the_command_line_are_known_to_nobody_else() -> None:
    known_by = {(top(found.inner), top(found.importer)) for found in IMPORTS if top(found.inner) in LAYERS[0]}
    assert known_by <= {("testing", "testing"), ("_cli", "_cli"), ("testing", "_cli")}


def test_modules_do_not_need_each_other_in_circles() -> None:
    graph: dict[str, set[str]] = {}
    for found in IMPORTS:
        if found.inner and not found.only_for_types:
            graph.setdefault(found.importer.removesuffix(".__init__"), set()).add(found.inner)
    TopologicalSorter(graph).prepare()


def test_what_performs_no_io_imports_none() -> None:
    impure = [found for found in IMPORTS if top(found.importer) in PURE and top(found.imported) in IO]
    assert list(map(str, impure)) == []


def test_only_the_transport_knows_its_engine() -> None:
    knowing = {found.importer for found in IMPORTS if top(found.imported) in {"aiohttp", "yarl"}}
    assert {importer for importer in knowing if top(importer) != "testing"} == {"_transfer.transport"}


AT_IMPORT = {"aiohttp", "click", "graphql", "httpx", "multidict", "rich", "ssl", "tqdm", "wandb", "yarl"}
# httpx loads click and rich by itself where they are installed.
BEFORE_A_REQUEST = {"aiohttp", "graphql", "multidict", "tqdm", "wandb", "yarl"}
REFUSE_CERTIFICATES = """
import ssl

def refuse(*args, **options):
    raise AssertionError("made a context of certificates")

ssl.SSLContext.__new__ = refuse
"""


def modules_after(statements: str) -> set[str]:
    """The modules that an interpreter has loaded after these statements."""
    script = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{statements}\nimport json, sys; json.dump([*sys.modules], sys.stdout)"],
        env=os.environ | {"WANDB_API_KEY": "k" * 40},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (script.returncode, script.stderr) == (0, "")
    return set(json.loads(script.stdout))


@pytest.mark.parametrize(
    ("statements", "heavy"),
    [
        ("import wbfiles_async", AT_IMPORT),
        ("from wbfiles_async import *; files = Api().run('team/project/run').files()", BEFORE_A_REQUEST),
    ],
    ids=["the import", "what comes before the first request"],
)
def test_nothing_heavy_is_loaded_by(statements: str, heavy: set[str]) -> None:
    loaded = modules_after(statements)
    assert {"wbfiles_async._async.api", "wbfiles_async._sync.objects"} <= loaded
    assert loaded & (heavy | {"wbfiles_async.testing", "wbfiles_async._cli"}) == set()


def test_no_certificates_are_read_by_what_comes_before_the_first_request() -> None:
    modules_after(REFUSE_CERTIFICATES + "from wbfiles_async import *; files = Api().run('team/project/run').files()")
