"""The package's layers: each module imports only lower ones, without cycles; importing the package loads little."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import attrs
import httpx  # noqa: F401  # looked up by contacts
import pytest

import wbfiles_async

PACKAGE = Path(wbfiles_async.__file__).parent
FLOORS = (
    ("__main__",),
    ("testing", "_cli", "fsspec", "scale"),
    ("_scale",),
    ("_sync", "_fsspec"),
    ("_async",),
    ("_display",),
    ("_gateway",),
    ("_session",),
    ("_upload", "_bucket"),
    ("_download",),
    ("_store", "_graphql"),
    ("_retry",),
    ("_http", "_auth"),
    ("_disk",),
    (
        *("errors", "_errors", "_models", "_reports", "_options", "_settings", "_text", "_html"),
        *(
            "_urls",
            "_messages",
            "_md5",
            "_ranges",
            "_backoff",
            "_clock",
            "_tasks",
            "_threads",
            "_waiting",
            "_rate_limit",
        ),
        "_wandb_settings",
    ),
)
"""Top to bottom. A package may import itself and lower layers; modules of the lowest layer may import each other."""

LEVELS = {module: level for level, floor in enumerate(FLOORS) for module in floor}
IO = {"aiofiles", "aiohappyeyeballs", "aiohttp", "anyio", "asyncio", "httpx", "selectors", "socket", "ssl"}
PURE = {
    *(
        "_ranges",
        "_rate_limit",
        "_md5",
        "_urls",
        "_messages",
        "_backoff",
        "_models",
        "_options",
        "_settings",
        "_text",
        "_html",
    ),
    *("_wandb_settings", "errors"),
    *("_disk.fingerprints", "_disk.folder", "_disk.journal", "_disk.long_paths", "_disk.names"),
    *("_http.address_policy", "_http.gzip", "_http.http1", "_http.proxies", "_http.stall"),
    *("_store.circuit_breaker", "_store.throttle_limit", "_store.ranges", "_store.store_errors"),
    *("_fsspec.errors", "_fsspec.found", "_fsspec.globs", "_fsspec.keys", "_fsspec.listings", "_fsspec.places"),
    *("_graphql.files_page", "_graphql.projects_page", "_graphql.json_values", "_graphql.match", "_graphql.page_size"),
    *(
        "_graphql.pagination",
        "_graphql.path_uri",
        "_graphql.pending_deletions",
        "_graphql.queries",
        "_graphql.responses",
        "_graphql.run_paths",
    ),
    *("_graphql.upload_answers", "_upload.comparison", "_bucket.roots", "_bucket.failures"),
    *(
        "_graphql.runs_page",
        "_graphql.shares",
        "_download.collisions",
        "_download.gaps",
        "_download.layout",
        "_download.parallelism",
    ),
    *("_scale.budget", "_scale.chunks"),
    *("_download.read_ahead", "_download.selection"),
}
"""Modules without I/O, which import nothing with I/O."""

LIFTABLE = {"aiohappyeyeballs", "anyio", "attrs", "certifi", "httptools", "httpx", "httpx2", "truststore"}
"""The imports of ``_http`` besides Python and two of our modules: few enough for a separate package.
httpx2 only if one of its objects is injected, truststore only on macOS and Windows."""


@attrs.frozen(order=True)
class Import:
    """An import of one module by another.

    Attributes:
        importer: The module's name, without the package's.
        imported: The other's full name.
        line: Where.
    """

    importer: str
    imported: str
    line: int

    @property
    def inner(self) -> str:
        """The imported module's name without the package's; empty for other packages."""
        package, _, inner = self.imported.partition(".")
        return inner if package == wbfiles_async.__name__ else ""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def imports_of(path: Path) -> Iterator[Import]:
    """All imports of a module, including those for types only, which readers follow too."""
    importer = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                imported = _module(node.module or "", alias.name) if isinstance(node, ast.ImportFrom) else alias.name
                if alias.name != "__version__":
                    yield Import(importer, imported, node.lineno)


def _module(package: str, name: str) -> str:
    """Return the name of the module that ``from package import name`` names, or finds the name in."""
    inner = PACKAGE.parent.joinpath(*package.split("."), name)
    return f"{package}.{name}" if inner.is_dir() or inner.with_suffix(".py").exists() else package


IMPORTS = sorted(
    found for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py" for found in imports_of(path)
)


def top(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_has_a_layer() -> None:
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules - {"__init__"} <= LEVELS.keys()


def test_imports_point_down() -> None:
    wrong = [
        found
        for found in IMPORTS
        if found.inner
        and top(found.inner) != top(found.importer)
        and LEVELS[top(found.inner)] <= LEVELS[top(found.importer)]
        and LEVELS[top(found.importer)] < len(FLOORS) - 1
        and (top(found.importer), top(found.inner)) != ("_cli", "testing")  # the command that serves a folder
    ]
    upwards = [found for found in IMPORTS if found.inner and LEVELS[top(found.inner)] < LEVELS[top(found.importer)]]
    assert list(map(str, wrong + upwards)) == []


def test_only_the_top_layer_uses_the_public_package() -> None:
    whole = {top(found.importer) for found in IMPORTS if found.imported == wbfiles_async.__name__}
    assert whole <= {"testing", "_cli"}


TRIOS = [{f"{style}.run", f"{style}.file", f"{style}.files"} for style in ("_async", "_sync")]
"""One aggregate, awaited and blocking: a run has files, and a file knows its run."""


def test_no_circular_imports() -> None:
    graph: dict[str, set[str]] = {}
    for found in IMPORTS:
        if found.inner and not any({found.importer, found.inner} <= trio for trio in TRIOS):
            graph.setdefault(found.importer, set()).add(found.inner)
    TopologicalSorter(graph).prepare()


def test_http_package_is_independent() -> None:
    foreign = [
        found
        for found in IMPORTS
        if top(found.importer) == "_http"
        and top(found.inner) not in {"_http", "_threads", "_waiting"}
        and top(found.imported) not in LIFTABLE | set(sys.stdlib_module_names)
    ]
    assert list(map(str, foreign)) == []


def test_pure_modules_import_no_io() -> None:
    impure = [found for found in IMPORTS if {found.importer, top(found.importer)} & PURE and top(found.imported) in IO]
    assert [str(found) for found in impure if found.imported != "httpx" or found.importer != "_http.proxies"] == []


def test_only_the_fsspec_packages_import_fsspec() -> None:
    importers = {top(found.importer) for found in IMPORTS if top(found.imported) in {"fsspec", "upath"}}
    assert importers == {"_fsspec"}
    assert {top(found.importer) for found in IMPORTS if top(found.inner) == "_fsspec"} == {"_fsspec", "fsspec"}


def test_missing_fsspec_names_the_extra() -> None:
    script = """
import sys
sys.modules["fsspec"] = None
try:
    import wbfiles_async.fsspec
except ModuleNotFoundError as error:
    print(error, error.__cause__, error.__suppress_context__)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert result.stderr == ""
    assert result.stdout.startswith(
        "wbfiles_async.fsspec needs the package fsspec: pip install 'wbfiles-async[fsspec]'"
    )


def test_every_pure_module_exists() -> None:
    assert {name for name in PURE if not (PACKAGE / f"{name.replace('.', '/')}.py").exists()} == set()


NETWORK = {
    *("aiohappyeyeballs", "aiohttp", "ftplib", "http", "httpcore", "httpcore2", "requests", "smtplib", "socketserver"),
    *("urllib.request", "urllib3", "websockets", "xmlrpc"),
}
"""Modules that contact servers."""

HARMLESS = {
    "httpx": {"AsyncByteStream", "Request", "Response", "Timeout", "URL"},
    "httpx2": set[str](),
    "socket": {"EAI_AGAIN", "SOCK_STREAM", "gaierror", "getaddrinfo", "gethostname"},
}
"""Modules that can contact servers, and what others may use of them, besides exceptions and annotations."""

CONNECTING = {
    *("connect_tcp", "connect_unix", "create_connection", "create_datagram_endpoint", "create_unix_connection"),
    *("open_connection", "open_unix_connection", "sock_connect", "urlopen"),
}
REQUESTING = {
    *("build_request", "delete", "get", "handle_async_request", "handle_request", "head", "options", "patch", "post"),
    *("put", "request", "send", "stream"),
}
"""Methods of clients, sessions and transports."""


def contacts(source: str) -> set[str]:
    """Return what in a module's source makes clients or connections, or sends requests."""
    tree = ast.parse(source)
    annotations = {id(node) for node in _in_annotations(tree)}
    return {
        found
        for node in ast.walk(tree)
        if id(node) not in annotations
        for found in (_attribute(node) if isinstance(node, ast.Attribute) else _imports(node))
    }


def _in_annotations(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if (annotation := getattr(node, name, None)) is not None:
                yield from ast.walk(annotation)


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name in NETWORK or top(alias.name) in NETWORK or (alias.asname and alias.name in HARMLESS):
                yield f"import {alias.name}"
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            is_network = {node.module, top(node.module), f"{node.module}.{alias.name}"} & NETWORK
            if is_network or alias.name in CONNECTING or not _is_harmless(node.module, alias.name):
                yield f"from {node.module} import {alias.name}"


def _attribute(node: ast.Attribute) -> Iterator[str]:
    owner = ast.unparse(node.value)
    is_client = re.search(r"(client|http|session|transport|_own|_others)(\[.*\]|\(.*\))?$", owner, re.IGNORECASE)
    sends = node.attr == "handle_async_request" or (node.attr in REQUESTING and is_client)
    if sends or node.attr in CONNECTING or not _is_harmless(owner, node.attr):
        yield ast.unparse(node)


def _is_harmless(module: str, name: str) -> bool:
    if module not in HARMLESS or name in HARMLESS[module]:
        return True
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and issubclass(found, Exception)


@pytest.mark.parametrize(
    "source",
    [
        *("import requests", "import urllib.request", "from urllib import request", "import http.client"),
        *("import httpx as web", "from httpx import AsyncClient", "from httpx import get", "httpx.get(url)"),
        *("httpx.AsyncClient()", "httpx2.AsyncClient()", "make = httpx.AsyncHTTPTransport", "socket.socket()"),
        *("self._client.get(url)", "options.http_client.stream('GET', url)", "client().post(url)"),
        *("http._client.send(request)", "send = transports[proxy].handle_async_request", "loop.sock_connect(s, a)"),
        *("socket.create_connection(a)", "asyncio.open_connection(a)", "from anyio import connect_tcp"),
    ],
)
def test_search_for_contacts_finds(source: str) -> None:
    assert contacts(source)


def test_only_the_http_package_contacts_servers() -> None:
    """The modules above pass requests to `HttpClient.send` of ``_http/client.py``."""
    found = {
        name: uses
        for path in PACKAGE.rglob("*.py")
        if top(name := ".".join(path.relative_to(PACKAGE).with_suffix("").parts)) not in {"testing", "_http"}
        if (uses := contacts(path.read_text(encoding="utf-8")))
    }
    assert found == {
        "_graphql.client": {"self.http.send"},
        "_session": {"http.send"},  # for tokens
        "_store.request": {"self.http.send"},
        "_store.writer": {"requester.http.send"},
    }


def test_only_the_http_client_sends() -> None:
    """One place calls ``httpx.AsyncClient.send``; only the transport below also contacts servers."""
    found = {path.stem: contacts(path.read_text(encoding="utf-8")) for path in PACKAGE.glob("_http/*.py")}

    def using(names: set[str]) -> dict[str, set[str]]:
        matching = {module: {use for use in uses if use.rpartition(".")[2] in names} for module, uses in found.items()}
        return {module: uses for module, uses in matching.items() if uses}

    assert using(REQUESTING) == {
        "client": {
            "self._client.build_request",
            "self._client.send",
            "self._transport.handle_async_request",
        },
        "routing": {"self._others[proxy].handle_async_request", "self._own.handle_async_request"},
        # An injected client or transport of httpx2 with the interface of httpx.
        "httpx2": {"self._client.build_request", "self._client.send", "self._transport.handle_async_request"},
    }
    assert using({"AsyncClient", "AsyncHTTPTransport", "Client", "HTTPTransport"}).keys() == {"client", "routing"}
    assert using({"socket", "create_connection", "open_connection"}).keys() <= {"batch_worker", "connect", "connection"}


AT_IMPORT = {
    *("aiohttp", "click", "fsspec", "graphql", "httptools", "httpx", "multidict", "obstore", "rich", "ssl", "tqdm"),
    *("wandb", "yarl"),
}
# httpx imports click and rich if they are installed.
BEFORE_A_REQUEST = {"aiohttp", "fsspec", "graphql", "multidict", "obstore", "tqdm", "wandb", "yarl"}
REFUSE_CERTIFICATES = """
import ssl

def refuse(*args, **options):
    raise AssertionError("made a context of certificates")

ssl.SSLContext.__new__ = refuse
"""


def modules_after(statements: str) -> set[str]:
    """The loaded modules of an interpreter after these statements."""
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
    ids=["the import", "before the first request"],
)
def test_heavy_modules_are_not_loaded_by(statements: str, heavy: set[str]) -> None:
    loaded = modules_after(statements)
    assert {"wbfiles_async._async.api", "wbfiles_async._sync.api"} <= loaded
    assert loaded & (heavy | {"wbfiles_async.testing", "wbfiles_async._cli"}) == set()


def test_help_of_the_command_line_loads_nothing_that_sends() -> None:
    help_text = "with contextlib.redirect_stdout(io.StringIO()): main(['--help'])"
    loaded = modules_after(f"import contextlib, io\nfrom wbfiles_async._cli import main\n{help_text}")
    assert "wbfiles_async._cli.app" in loaded
    assert loaded & {"httpx", *BEFORE_A_REQUEST} == set()


def test_certificates_are_read_at_the_first_request() -> None:
    modules_after(REFUSE_CERTIFICATES + "from wbfiles_async import *; files = Api().run('team/project/run').files()")
