"""Installing completion: in real shells, repeatedly, and never over foreign files."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from terminal import Terminal
from test_commands import Wbfiles
from test_commands import wbfiles as wbfiles

from wbfiles_async._cli.installing import SHELLS, ForeignTextError, Shell, plan_installation, shell_of

STARTUP = {"bash": ".bashrc", "zsh": ".zshrc"}


def files(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.fixture
def environ(home: Path, tmp_path: Path) -> dict[str, str]:
    """An environment where ``wbfiles`` is a command, for the shells."""
    program = tmp_path / "bin" / "wbfiles"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m wbfiles_async "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "TERM": "xterm", "HISTFILE": ""}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    return request.param  # type: ignore[no-any-return]


def test_new_shell_completes(shell: Shell, wbfiles: Wbfiles, environ: dict[str, str], tmp_path: Path) -> None:
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"there is no {shell}")
    assert wbfiles("completion", shell, "--install").code == 0
    with Terminal(["-i"], environ, tmp_path, program=[program]) as terminal:
        terminal.type(b"echo it is rea''dy\r")
        terminal.read_until(lambda text: "it is ready" in text)
        terminal.type(b"wbfiles comp\t")
        terminal.read_until(lambda text: "completion" in text)


def test_installing_twice_changes_nothing(shell: Shell, wbfiles: Wbfiles, home: Path) -> None:
    first = wbfiles("completion", shell, "--install")
    assert (first.code, first.err) == (0, "")
    written = files(home)
    assert all(str(home / name) in first.out for name in written)
    assert f"wbfiles completion {shell} --uninstall" in first.out
    second = wbfiles("completion", shell, "--install")
    assert "already" in second.out
    assert files(home) == written


def test_uninstalling_restores_the_file(shell: Shell, wbfiles: Wbfiles, home: Path) -> None:
    before = b"alias a=b\r\nexport NAME=\xff\n"
    if shell in STARTUP:
        (home / STARTUP[shell]).write_bytes(before)
        (home / STARTUP[shell]).chmod(0o600)
    found = files(home)
    assert wbfiles("completion", shell, "--install").code == 0
    if shell in STARTUP:
        with (home / STARTUP[shell]).open("ab") as file:
            file.write(b"later=1\n")
        found[STARTUP[shell]] += b"later=1\n"
        assert (home / STARTUP[shell]).stat().st_mode & 0o777 == 0o600
    removed = wbfiles("completion", shell, "--uninstall")
    assert (removed.code, removed.err) == (0, "")
    assert files(home) == found
    assert wbfiles("completion", shell, "--uninstall").out == "Completion is not installed.\n"


def test_foreign_script_is_left_alone(shell: Shell, wbfiles: Wbfiles, home: Path) -> None:
    script = plan_installation(shell, {}, home).script
    script.parent.mkdir(parents=True)
    script.write_text("# mine\n")
    for option in ("--install", "--uninstall"):
        ending = wbfiles("completion", shell, option)
        assert (ending.code, ending.out) == (1, "")
        assert f"{script} was not written by this command" in ending.err.replace("\n", " ")
    assert files(home) == {str(script.relative_to(home)): b"# mine\n"}


@pytest.mark.parametrize("shell", STARTUP, indirect=True)
@pytest.mark.parametrize(
    "change", [lambda text: text.replace("fi\n", "fi\nmine=1\n"), lambda text: text + text, lambda text: text[:-20]]
)
def test_edited_lines_are_left_alone(shell: Shell, change: Callable[[str], str], wbfiles: Wbfiles, home: Path) -> None:
    wbfiles("completion", shell, "--install")
    startup = home / STARTUP[shell]
    startup.write_text(change(startup.read_text()))
    changed = files(home)
    for option in ("--install", "--uninstall"):
        ending = wbfiles("completion", shell, option)
        assert (ending.code, ending.out) == (1, "")
        assert "changed by hand" in ending.err.replace("\n", " ")
    assert files(home) == changed


def test_symlinked_startup_file_stays_a_symlink(wbfiles: Wbfiles, home: Path, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    kept = tmp_path / "dotfiles" / "bashrc"
    kept.write_text("alias a=b")
    (home / ".bashrc").symlink_to(kept)
    assert wbfiles("completion", "bash", "--install").code == 0
    assert (home / ".bashrc").is_symlink()
    assert kept.read_text().startswith("alias a=b\n# >>> wbfiles completion >>>\n")


def test_lines_for_another_path_are_replaced(home: Path) -> None:
    old, new = (plan_installation("bash", {"XDG_DATA_HOME": f"/{name}"}, home) for name in ("it's old", "new"))
    assert new.with_lines(old.with_lines("a\n") + "b\n") == "a\n" + new.lines + "b\n"


def test_folders_are_read_from_environment_variables(home: Path) -> None:
    named = {"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "ZDOTDIR": "/z"}
    assert plan_installation("fish", named, home).script == Path("/c/fish/completions/wbfiles.fish")
    zsh = plan_installation("zsh", named, home)
    assert (zsh.script, zsh.startup) == (Path("/d/wbfiles/completion.zsh"), Path("/z/.zshrc"))
    assert plan_installation("zsh", {"ZDOTDIR": "relative"}, home).startup == home / ".zshrc"


def test_shell_defaults_to_the_users() -> None:
    assert shell_of({"SHELL": "/usr/bin/fish"}) == "fish"
    for environ in ({}, {"SHELL": "/bin/tcsh"}):
        with pytest.raises(click.UsageError, match="bash, zsh or fish"):
            shell_of(environ)


def test_file_that_cannot_be_written_is_an_error(wbfiles: Wbfiles, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".local").write_text("in the way")
    ending = wbfiles("completion", "bash", "--install")
    assert (ending.code, ending.out) == (1, "")
    assert ".local" in ending.err
    assert not (home / ".bashrc").exists()
    assert ForeignTextError.exit_code == 1
