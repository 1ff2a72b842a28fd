"""The blocking objects mirror the async ones: same names, same signatures, no logic of their own."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
from collections.abc import Callable
from types import FunctionType

import pytest

import wbfiles_async

PAIRS: dict[type, type] = {
    getattr(wbfiles_async, name): getattr(wbfiles_async, name.removeprefix("Async"))
    for name in wbfiles_async.__all__
    if name.startswith("Async")
}
RENAMED = {"aclose": "close"}
SPECIAL = {"__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__"}
CONSTRUCTED = [wbfiles_async.AsyncApi, wbfiles_async.AsyncFile]
"""The classes that users construct; the others are only returned."""

TYPES = {"AsyncGenerator": "Iterator", "AsyncTextFile": "io.TextIOWrapper", "AsyncBinaryFile": "io.BufferedReader"}
STATEMENTS = 2
"""Allowed in a method of the facade: a call of its counterpart, and wrapping the result."""


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def methods(cls: type) -> list[str]:
    return sorted(name for name in public(cls) if inspect.isfunction(inspect.getattr_static(cls, name)))


def blocking_type(annotation: str) -> str:
    """Translate an annotation of an async object into that of the blocking one."""
    for theirs, ours in TYPES.items():
        annotation = annotation.replace(theirs, ours)
    return re.sub(r"\bAsync(?=(Api|Projects?|Runs?|Files?)\b)", "", annotation)


Parameter = tuple[str, object, object, str]


def signature(function: Callable[..., object]) -> tuple[list[Parameter], str]:
    """Names, kinds, defaults and annotations of the parameters, in order; and the return annotation."""
    signature = inspect.signature(function)
    parameters: list[Parameter] = [
        (parameter.name, parameter.kind, parameter.default, str(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    return parameters, str(signature.return_annotation)


pairs = pytest.mark.parametrize(("async_class", "blocking_class"), PAIRS.items(), ids=lambda cls: cls.__name__)
each = pytest.mark.parametrize(
    ("async_class", "name"),
    [
        pytest.param(async_class, name, id=f"{async_class.__name__}.{name}")
        for async_class in PAIRS
        for name in methods(async_class)
    ],
)


def test_every_async_class_has_its_counterpart() -> None:
    assert {cls.__name__ for cls in PAIRS} >= {"AsyncApi", "AsyncRun", "AsyncFiles", "AsyncFile"}
    assert [cls.__name__ for cls in PAIRS.values()] == [cls.__name__.removeprefix("Async") for cls in PAIRS]


@pairs
def test_public_names_are_the_same(async_class: type, blocking_class: type) -> None:
    assert public(blocking_class) == {RENAMED.get(name, name) for name in public(async_class)}


@pairs
def test_async_protocols_have_blocking_counterparts(async_class: type, blocking_class: type) -> None:
    for asynchronous, plain in SPECIAL.items():
        assert hasattr(blocking_class, plain) == hasattr(async_class, asynchronous), plain


@pairs
def test_properties_are_the_same(async_class: type, blocking_class: type) -> None:
    for name in public(async_class):
        member = inspect.getattr_static(async_class, name)
        if isinstance(member, property):
            counterpart = inspect.getattr_static(blocking_class, name)
            assert isinstance(counterpart, property), name
            assert (counterpart.fset, counterpart.fdel) == (None, None), name
            assert summary(counterpart) == summary(member), name
            assert member.fget is not None
            assert counterpart.fget is not None
            assert signature(counterpart.fget)[1] == blocking_type(signature(member.fget)[1]), name


@pytest.mark.parametrize("async_class", CONSTRUCTED, ids=lambda cls: cls.__name__)
def test_constructors_have_the_same_parameters(async_class: type) -> None:
    parameters, _ = signature(async_class)
    expected = [(name, kind, default, blocking_type(annotation)) for name, kind, default, annotation in parameters]
    assert signature(PAIRS[async_class])[0] == expected


@each
def test_method_has_the_same_signature(async_class: type, name: str) -> None:
    parameters, returned = signature(getattr(async_class, name))
    expected = [(name, kind, default, blocking_type(annotation)) for name, kind, default, annotation in parameters]
    assert signature(counterpart(async_class, name)) == (expected, blocking_type(returned))


@each
def test_method_blocks(async_class: type, name: str) -> None:
    function = counterpart(async_class, name)
    assert not inspect.iscoroutinefunction(function)
    assert not inspect.isasyncgenfunction(function)


@each
def test_method_names_its_counterpart_in_its_docstring(async_class: type, name: str) -> None:
    assert f"``{async_class.__name__}.{name}``" in (counterpart(async_class, name).__doc__ or "")


@each
def test_method_has_the_whole_documentation(async_class: type, name: str) -> None:
    function = counterpart(async_class, name)
    theirs, ours = inspect.getdoc(getattr(async_class, name)) or "", inspect.getdoc(function) or ""
    assert section("Args", ours) == blocking_words(section("Args", theirs))
    assert set(section("Args", ours)) >= set(inspect.signature(function).parameters) - {"self"}
    assert section("Raises", ours) == blocking_words(section("Raises", theirs))
    assert ours.splitlines()[0] == blocking_words({"": theirs.splitlines()[0]})[""]
    shown = pydoc.plain(pydoc.render_doc(function))
    assert all(line.strip() in shown for line in ours.splitlines())


@each
def test_methods_return_blocking_objects(async_class: type, name: str) -> None:
    ours = inspect.getdoc(counterpart(async_class, name)) or ""
    assert "await" not in ours
    assert not re.search(r"\basync", ours)


DOWNLOADS = [wbfiles_async.AsyncRun.download, wbfiles_async.AsyncRuns.download, wbfiles_async.AsyncApi.download]


@pytest.mark.parametrize("download", DOWNLOADS, ids=lambda download: download.__qualname__)
def test_download_docstrings_cover_the_same_arguments(download: Callable[..., object]) -> None:
    arguments, least = (
        section("Args", inspect.getdoc(each) or "") for each in (download, wbfiles_async.AsyncFiles.download)
    )
    for name, text in least.items():
        assert arguments[name].startswith(text.removesuffix(".")) or name == "raise_on_error", name


@pairs
def test_class_has_the_whole_documentation(async_class: type, blocking_class: type) -> None:
    theirs, ours = inspect.getdoc(async_class) or "", inspect.getdoc(blocking_class) or ""
    assert section("Args", ours) == blocking_words(section("Args", theirs))
    assert section("Raises", ours) == blocking_words(section("Raises", theirs))


@each
def test_method_is_thin(async_class: type, name: str) -> None:
    function = ast.parse(inspect.cleandoc("\n" + inspect.getsource(counterpart(async_class, name)))).body[0]
    assert isinstance(function, ast.FunctionDef)
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt)]
    assert len(statements) - len([function, "its docstring"]) <= STATEMENTS


@pairs
def test_class_names_its_counterpart_in_its_docstring(async_class: type, blocking_class: type) -> None:
    assert f"``{async_class.__name__}``" in (blocking_class.__doc__ or "")


@pairs
def test_facade_wraps_and_does_not_inherit(async_class: type, blocking_class: type) -> None:
    assert not set(blocking_class.__mro__) & set(PAIRS)
    assert not set(async_class.__mro__) & set(PAIRS.values())


def section(title: str, doc: str) -> dict[str, str]:
    """The entries of a section of a docstring by name, each in one line."""
    body = re.search(rf"^{title}:\n((?:    .*\n?)+)", doc, re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", body[1] if body else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def blocking_words(entries: dict[str, str]) -> dict[str, str]:
    return {
        name: re.sub(r"``Async(?=[A-Z])", "``", text).replace("in the event loop's thread", "in the I/O thread")
        for name, text in entries.items()
    }


def summary(member: object) -> str:
    return (member.__doc__ or "").partition("\n")[0]


def counterpart(async_class: type, name: str) -> FunctionType:
    function = inspect.getattr_static(PAIRS[async_class], RENAMED.get(name, name))
    assert isinstance(function, FunctionType)
    return function
