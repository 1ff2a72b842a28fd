"""Writes the docstrings of the blocking objects, which are made from those of their async counterparts.

Run ``python docs/blocking_docstrings.py`` after a change to those, where the package is installed editable. With
``--check`` it writes nothing, and fails if one is out of date.

A method has the text of the async one. A class keeps its own, and has the sections of the async one.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs

import wbfiles_async

FOLDER = Path(__file__).parent.parent / "wbfiles_async" / "_sync"
RENAMED = {"close": "aclose"}
SECTIONS = ("Args", "Returns", "Yields", "Raises", "Source", "Examples")
WORDS = {
    "``Async": "``",
    "in the event loop's thread": "in the I/O thread",
    "An open handle: an async context manager whose reads are awaited.": "A text file, as ``open`` returns it.",
    "An open handle: an async context manager whose ``read``, ``seek`` and ``tell`` are awaited.": (
        "A binary file, as ``open`` returns it."
    ),
}
"""What differs in the text of the blocking objects."""
_ASYNC = re.compile(r"\b(?:await |async |Async(?=[A-Z]))")
"""What makes the code of an example that of the async objects."""


@attrs.frozen
class Docstring:
    """A docstring in the text of a module.

    Attributes:
        name: Of what it documents, such as ``Run.files``.
        lines: Those that it takes in the text, from 0; none if it is missing.
        text: What it says.
        wanted: What it is to say.
    """

    name: str
    lines: slice
    text: str
    wanted: str


def method_doc(name: str, theirs: str) -> str:
    """Return the docstring of a blocking method.

    Args:
        name: The name of its counterpart, such as ``AsyncRun.files``.
        theirs: What its counterpart says.
    """
    text, sections = _parts(_blocking(theirs))
    return "\n\n".join([*text, f"Blocking form of ``{name}``.", *map(_blocking_example, sections)])


def class_doc(theirs: str, ours: str) -> str:
    """Return the docstring of a blocking class: its own text, then the sections of its counterpart."""
    (text, _), (_, sections) = _parts(ours), _parts(_blocking(theirs))
    return "\n\n".join([*text, *map(_blocking_example, sections)])


def _blocking(doc: str) -> str:
    for asynchronous, blocking in WORDS.items():
        doc = doc.replace(asynchronous, blocking)
    return doc


def _blocking_example(section: str) -> str:
    return _ASYNC.sub("", section) if section.startswith("Examples:") else section


def _parts(doc: str) -> tuple[list[str], list[str]]:
    """Return the paragraphs of a docstring, and its sections."""
    text, sections = list[str](), list[str]()
    for paragraph in doc.split("\n\n"):
        if paragraph.partition(":\n")[0] in SECTIONS:
            sections.append(paragraph)
        elif sections:  # of an example that holds a blank line
            sections[-1] += f"\n\n{paragraph}"
        else:
            text.append(paragraph)
    return text, sections


def docstrings(source: str) -> Iterator[Docstring]:
    """Find the docstrings of the public classes in the text of a module, and of their methods."""
    for blocking in ast.parse(source).body:
        if isinstance(blocking, ast.ClassDef) and f"Async{blocking.name}" in wbfiles_async.__all__:
            counterpart: type = getattr(wbfiles_async, f"Async{blocking.name}")
            ours = ast.get_docstring(blocking) or ""
            yield Docstring(blocking.name, _lines(blocking), ours, class_doc(_docstring_of(counterpart), ours))
            methods = (each for each in blocking.body if isinstance(each, ast.FunctionDef) and not each.decorator_list)
            for method in methods:
                if not method.name.startswith("_"):
                    theirs = getattr(counterpart, RENAMED.get(method.name, method.name))
                    wanted = method_doc(theirs.__qualname__, _docstring_of(theirs))
                    name = f"{blocking.name}.{method.name}"
                    yield Docstring(name, _lines(method), ast.get_docstring(method) or "", wanted)


def _docstring_of(documented: object) -> str:
    return inspect.getdoc(documented) or ""


def _lines(documented: ast.ClassDef | ast.FunctionDef) -> slice:
    first = documented.body[0]
    begin, end = first.lineno - 1, first.end_lineno
    return slice(begin, end if ast.get_docstring(documented) else begin)


def rewritten(source: str) -> str:
    """Return the text of a module with the docstrings that it is to have."""
    lines = source.splitlines(keepends=True)
    for docstring in reversed([each for each in docstrings(source) if each.text != each.wanted]):
        indent = " " * (4 + 4 * docstring.name.count("."))
        ending = '\n"""\n' if "\n" in docstring.wanted else '"""\n'
        lines[docstring.lines] = [textwrap.indent(f'"""{docstring.wanted}{ending}', indent)]
    return "".join(lines)


def main(arguments: list[str]) -> int:
    """Write the docstrings, or name those that are out of date; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the docstrings of the blocking objects.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one is out of date")
    check = parser.parse_args(arguments).check
    changed = list[str]()
    for path in sorted(FOLDER.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        changed += [each.name for each in docstrings(source) if each.text != each.wanted]
        if not check:
            path.write_text(rewritten(source), encoding="utf-8")
    if changed:
        print("Run docs/blocking_docstrings.py, which writes:" if check else "Written:", ", ".join(changed))
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
