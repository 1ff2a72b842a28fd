"""Assembles the documentation pages in build/docs; ``nox -s docs`` builds the site from them.

Most are in docs/pages, some elsewhere in the repository, and the reference of the command line comes from Click.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from wbfiles_async._cli.app import program

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "docs"
PAGES = BUILD / "pages"
ELSEWHERE = {
    "docs/faults.md": "explanation/faults.md",
    "benchmarks/README.md": "explanation/benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)")
_INCLUDE = re.compile(r"^# include: (\S+)$", re.MULTILINE)


def assemble() -> None:
    """Write all pages, and the configuration next to them."""
    if BUILD.exists():
        shutil.rmtree(BUILD)
    shutil.copytree(ROOT / "docs" / "pages", PAGES)
    shutil.copy(ROOT / "docs" / "zensical.toml", BUILD)
    for page in PAGES.rglob("*.md"):
        page.write_text(with_examples(page.read_text(encoding="utf-8")), encoding="utf-8")
    for source, target in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        (PAGES / target).write_text(without_links(text), encoding="utf-8")
    (PAGES / "reference" / "command-line.md").write_text(command_line(), encoding="utf-8")


def with_examples(text: str) -> str:
    """Return a page with the programs that it includes."""
    return _INCLUDE.sub(lambda include: (ROOT / include[1]).read_text(encoding="utf-8").rstrip(), text)


def without_links(text: str) -> str:
    """Return a page of the repository without its links to files that the site lacks."""
    return _LINK.sub(lambda link: f"`{link[2]}`" if link[1] == link[2] else link[1], text)


def command_line() -> str:
    """Return the reference of the command line."""
    return "\n".join(["# Command line", "", *_described("wbfiles", program, None)])


def _described(name: str, command: click.Command, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, max_content_width=100)
    yield from (f"## {name}", "", "```text", command.get_help(context), "```", "")
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                yield from _described(f"{name} {below}", found, context)


if __name__ == "__main__":
    assemble()
