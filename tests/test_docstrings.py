"""Docstrings of public objects are complete. ``test_docs`` runs their examples."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

import attrs
import pytest

MODULES = tuple(f"wbfiles_async{name}" for name in ("", ".errors", ".fsspec", ".scale", ".testing"))
NO_REQUEST = {
    *("aclose", "close", "clear_requests", "invalidate_cache", "with_options", "add_file", "add_run"),
    *("started", "advanced", "finished", "failed"),
}
WITH_EXAMPLES = {
    *(f"{kind}.{name}" for kind in ("AsyncFile", "File") for name in ("delete", "download", "fetch", "open", "stream")),
    *(f"{kind}.{name}" for kind in ("AsyncFiles", "Files") for name in ("delete", "download")),
    *(f"{kind}.{name}" for kind in ("AsyncRun", "Run") for name in ("download", "file", "files", "upload")),
    *(f"{kind}.{name}" for kind in ("AsyncRuns", "Runs") for name in ("delete", "download", "files")),
    *(f"{kind}.{name}" for kind in ("AsyncApi", "Api") for name in ("download", "run", "runs")),
    *("AsyncApi", "Api", "TransferOptions", "Progress", "LocalServer", "WandbFileSystem"),
    *("WBFilesError", "DestinationExistsError", "IncompleteDownloadError", "IncompleteUploadError"),
    *("IncompleteDeletionError", "RemoteFileNotFoundError", "RunNotFoundError", "TransferError", "IntegrityError"),
    *("AuthenticationError", "RateLimitedError", "StoreUnavailableError", "UnsafePathError", "LocalWriteError"),
    "UnsupportedReferenceError",
}
"""Objects that people look up often."""


def public_names() -> Iterator[tuple[str, object]]:
    for module in MODULES:
        imported = import_module(module)
        for name in imported.__all__:
            if not name.startswith("__") and not (name == "WandbPath" and not _has_upath()):
                yield name, getattr(imported, name)


def _has_upath() -> bool:
    try:
        import_module("upath")
    except ModuleNotFoundError:
        return False
    return True


PUBLIC = dict(public_names())
CLASSES = {name: found for name, found in PUBLIC.items() if isinstance(found, type)}


def members(kind: type) -> dict[str, object]:
    """Return the public methods and properties of a class from this package, also inherited ones."""
    found: dict[str, object] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("wbfiles_async"):
            for name, member in vars(base).items():
                if not name.startswith("_") and isinstance(member, FunctionType | property | classmethod):
                    found[name] = member
    return found


METHODS: dict[str, FunctionType] = {
    f"{kind}.{name}": member
    for kind, imported in CLASSES.items()
    for name, member in members(imported).items()
    if isinstance(member, FunctionType)
} | {name: found for name, found in PUBLIC.items() if isinstance(found, FunctionType)}
"""Public methods and functions."""
PROPERTIES = {
    f"{kind}.{name}": member
    for kind, imported in CLASSES.items()
    for name, member in members(imported).items()
    if isinstance(member, property)
}


def section(doc: str, *titles: str) -> str:
    """Return a section of a docstring, without its title."""
    found = re.search(rf"^(?:{'|'.join(titles)}):\n((?:(?: .*)?\n)*)", inspect.cleandoc(doc) + "\n", re.MULTILINE)
    return found[1] if found else ""


def described(doc: str, *titles: str) -> set[str]:
    """Return the names in a section."""
    return set(re.findall(r"^    (\w+)(?: \(.*?\))?: ?\S", section(doc, *titles), re.MULTILINE))


def raised(function: FunctionType) -> set[str]:
    """Return the names of errors that the source of a function raises."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    names = (call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name))
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("name", CLASSES)
def test_class_docstrings_are_complete(name: str) -> None:
    kind = CLASSES[name]
    doc = kind.__doc__ or ""
    assert re.match(r"\S.*[.:]$", doc.strip().partition("\n")[0]), "the first line is not a sentence"
    own = inspect.signature(vars(kind)["__init__"]).parameters if "__init__" in vars(kind) else {}
    taken = set(own) - {"self", "message", "args", "kwargs"}
    if attrs.has(kind):
        fields = {field.name for field in attrs.fields(kind) if not (field.name.startswith("_") or field.inherited)}
        assert described(doc, "Attributes") == fields
    elif issubclass(kind, Exception):
        inherited = next(base for base in kind.__mro__ if "__init__" in vars(base))
        assert described(doc, "Attributes") >= set(inspect.signature(inherited).parameters) - {
            "args",
            "kwargs",
            "message",
        }
    elif name not in ("Run", "Runs", "Files", "Project", "Projects"):  # created by other objects
        assert described(doc, "Args") == taken


@pytest.mark.parametrize("name", METHODS)
def test_method_docstrings_are_complete(name: str) -> None:
    method = METHODS[name]
    doc = method.__doc__ or ""
    signature = inspect.signature(method)
    first = inspect.cleandoc(doc).partition("\n")[0]
    assert re.match(r"\S.*[.;:]$", first), "the first line is not a sentence"
    assert not first.startswith("Blocking form"), "the docstring of the async method is missing"
    kind, _, short = name.partition(".")
    taken = {each for each in signature.parameters if each not in ("self", "_")}
    if kind != "Progress" or described(doc, "Args"):  # the first two methods document the parameters
        assert described(doc, "Args") == taken
    returned = signature.return_annotation
    if returned not in ("None", "Self"):
        assert section(doc, "Returns", "Yields") or first.startswith("Return ") or "; return " in first
    assert described(doc, "Raises") >= raised(method) - {"TypeError"}
    if inspect.iscoroutinefunction(method) and short not in NO_REQUEST and kind != "WandbFileSystem":
        assert section(doc, "Raises"), "methods that make requests can fail"


@pytest.mark.parametrize("name", PROPERTIES)
def test_property_docstrings_exist(name: str) -> None:
    assert re.match(r"\S.*\.$", (PROPERTIES[name].__doc__ or "").partition("\n")[0])


@pytest.mark.parametrize("name", sorted(WITH_EXAMPLES))
def test_important_methods_have_examples(name: str) -> None:
    kind, _, method = name.partition(".")
    documented = METHODS[name] if method else CLASSES[kind]
    assert "```python\n" in section(documented.__doc__ or "", "Examples")


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("blocking_docstrings", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = Path(__file__).parent.parent / "docs" / "blocking_docstrings.py"
blocking_docstrings = load_script()
BLOCKING = {path.name: path.read_text(encoding="utf-8") for path in sorted(blocking_docstrings.FOLDER.glob("*.py"))}


def test_blocking_docstrings_equal_the_async_ones(capsys: pytest.CaptureFixture[str]) -> None:
    found = {each.name for source in BLOCKING.values() for each in blocking_docstrings.docstrings(source)}
    kinds = {kind for kind in CLASSES if f"Async{kind}" in CLASSES}
    assert found == kinds | {name for name in METHODS if name.partition(".")[0] in kinds}
    assert blocking_docstrings.main(["--check"]) == 0, capsys.readouterr().out


def test_blocking_docstrings_are_in_the_source() -> None:
    """Editors, which do not run the code, show the same text as ``help``."""
    for source in BLOCKING.values():
        for each in blocking_docstrings.docstrings(source):
            imported = METHODS.get(each.name) or CLASSES[each.name]
            assert each.text == inspect.cleandoc(imported.__doc__ or ""), each.name


@pytest.mark.parametrize("written", ['        """Blocking form."""\n', '        """Select.\n\n        Files."""\n', ""])
def test_outdated_docstring_is_rewritten(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(blocking_docstrings, "FOLDER", tmp_path)
    docstring = re.compile(r' {8}"""Select files of the run\..*?"""\n', re.DOTALL)
    outdated = tmp_path / "run.py"
    outdated.write_text(docstring.sub(written, BLOCKING["run.py"]), encoding="utf-8")
    assert blocking_docstrings.main(["--check"]) == 1
    assert capsys.readouterr().out.endswith(": Run.files\n")
    assert blocking_docstrings.main([]) == 0
    assert outdated.read_text(encoding="utf-8") == BLOCKING["run.py"]
