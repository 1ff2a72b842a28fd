"""The manual pages: one per command, with the text of its help, installed with the package."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from wbfiles_async._cli.app import program

pytest.importorskip("click_man")

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def man() -> ModuleType:
    spec = importlib.util.spec_from_file_location("man", ROOT / "docs" / "man.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pages(man: ModuleType, tmp_path: Path) -> dict[str, Path]:
    return {page.name: page for page in man.write_pages(tmp_path)}


def shown(page: Path) -> str:
    """Return the output of ``man`` for a page, in one line and with plain hyphens; warnings fail the test."""
    if not shutil.which("man"):
        pytest.skip("there is no man")
    child = subprocess.run(
        ["man", "--warnings", "--no-hyphenation", "--no-justification", "-l", str(page)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "500", "MANROFFSEQ": ""},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert child.stderr == ""
    return " ".join(child.stdout.split()).replace("‐", "-").replace("’", "'")


def test_every_command_has_a_page(pages: dict[str, Path]) -> None:
    commands = {f"wbfiles-{name}.1" for name, command in program.commands.items() if not command.hidden}
    assert pages.keys() == commands | {"wbfiles.1"}


@pytest.mark.parametrize("name", ["", *program.commands])
def test_page_matches_the_help(pages: dict[str, Path], name: str) -> None:
    command = program.commands[name] if name else program
    text = shown(pages[f"wbfiles-{name}.1" if name else "wbfiles.1"])
    context = click.Context(command, info_name=f"wbfiles {name}".strip())
    assert f"wbfiles {name}".strip() + " [OPTIONS]" in text
    texts = [(command.help or "").replace("\b", ""), (command.epilog or "").replace("\b", "")]
    for option in command.get_params(context):
        if isinstance(option, click.Option) and (record := option.get_help_record(context)) is not None:
            texts += record
    for each in texts:
        assert " ".join(each.split()) in text


def test_roff_commands_are_escaped(man: ModuleType, tmp_path: Path) -> None:
    command = click.Command("odd", help=".br \\fB\n'quoted'\n-- \\x1b", callback=lambda: None)
    ((_, text),) = man.pages("odd", command, None)
    page = tmp_path / "odd.1"
    page.write_text(text, encoding="utf-8")
    assert ".br \\fB 'quoted' -- \\x1b" in shown(page)


def test_wheel_contains_the_pages(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], check=True, capture_output=True, text=True
    ).stdout
    assert ".data/data/share/man/man1/wbfiles-get.1" in listed
