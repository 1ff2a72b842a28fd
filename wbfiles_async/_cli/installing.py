"""Installs shell completion: a script, and marked lines in the shell's startup file that load it."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, get_args

import attrs
import click

from wbfiles_async._text import printable

Shell = Literal["bash", "zsh", "fish"]
SHELLS: Final[tuple[Shell, ...]] = get_args(Shell)

_BEGIN, _END = "# >>> wbfiles completion >>>", "# <<< wbfiles completion <<<"
_SIGNATURE: Final = "# Written by `wbfiles completion --install`; `wbfiles completion --uninstall` removes it.\n"
_LOADING: Final[Mapping[Shell, str]] = {
    "bash": "if [ -r {0} ]; then . {0}; fi\n",
    "zsh": """\
if [[ -r {0} ]]; then
    (( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit -i }}
    . {0}
fi
""",
}
"""The lines that load the script. fish finds it by its location."""


class ForeignTextError(click.ClickException):
    """A foreign file exists, or the marked lines were edited; nothing was written to it."""


@attrs.frozen
class Installation:
    """The files of a shell's completion.

    Attributes:
        shell: The shell.
        script: The script's file, which only we write.
        startup: The shell's startup file; ``None`` if the shell finds the script by itself.
    """

    shell: Shell
    script: Path
    startup: Path | None

    @property
    def lines(self) -> str:
        """The marked lines for the startup file."""
        return self._lines(shlex.quote(str(self.script)))

    def with_lines(self, text: str) -> str:
        """Return the text of a startup file with the marked lines, at its end if it has none.

        Raises:
            ForeignTextError: Its marked lines were edited.
        """
        if (found := self._find(text)) is not None:
            return text[: found.start()] + self.lines + text[found.end() :]
        return text + ("\n" if text and not text.endswith("\n") else "") + self.lines

    def without_lines(self, text: str) -> str:
        """Return the text of a startup file without the marked lines.

        Raises:
            ForeignTextError: They were edited.
        """
        found = self._find(text)
        return text if found is None else text[: found.start()] + text[found.end() :]

    def _lines(self, script: str) -> str:
        return f"{_BEGIN}\n{_LOADING[self.shell].format(script)}{_END}\n"

    def _find(self, text: str) -> re.Match[str] | None:
        ours = re.compile("^" + re.escape(self._lines("SCRIPT")).replace("SCRIPT", ".+"), re.MULTILINE)
        found = list(ours.finditer(text))
        marks = sum(line.strip() in (_BEGIN, _END) for line in text.splitlines())
        if len(found) > 1 or marks != 2 * len(found):
            raise ForeignTextError(
                f"The lines from {_BEGIN!r} to {_END!r} in {printable(str(self.startup))} were changed by hand, so "
                "they are left as they are. Remove them and repeat the command."
            )
        return found[0] if found else None


def plan_installation(shell: Shell, environ: Mapping[str, str], home: Path) -> Installation:
    """Return the files of a shell's completion.

    Args:
        shell: The shell.
        environ: ``XDG_CONFIG_HOME``, ``XDG_DATA_HOME`` and ``ZDOTDIR`` name other folders than the usual ones.
        home: The user's home folder.
    """

    def folder(variable: str, default: str) -> Path:
        named = Path(environ.get(variable, ""))
        return named if named.is_absolute() else home / default

    if shell == "fish":
        return Installation(shell, folder("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / "wbfiles.fish", None)
    startup = home / ".bashrc" if shell == "bash" else folder("ZDOTDIR", "") / ".zshrc"
    return Installation(shell, folder("XDG_DATA_HOME", ".local/share") / "wbfiles" / f"completion.{shell}", startup)


def shell_of(environ: Mapping[str, str]) -> Shell:
    """Return the user's shell.

    Raises:
        click.UsageError: It is unknown or not supported.
    """
    name = Path(environ.get("SHELL", "")).name
    for shell in SHELLS:
        if shell == name:
            return shell
    raise click.UsageError("Name the shell: wbfiles completion bash, zsh or fish.")


def install(installation: Installation, script: str) -> str:
    """Write the script, and the lines that load it, unless they exist already.

    Args:
        installation: The files.
        script: The completion script.

    Returns:
        The written files, and how to undo it.

    Raises:
        ForeignTextError: A foreign file exists at the path.
        OSError: A file cannot be read or written.
    """
    written, startup = [], installation.startup
    before = "" if startup is None else _read(startup)
    after = before if startup is None else installation.with_lines(before)  # may refuse, so before anything is written
    if _own_text(installation.script) != (wanted := _SIGNATURE + script):
        _write(installation.script, wanted)
        written.append(str(installation.script))
    if startup is not None and before != after:
        _write(startup, after)
        written.append(f"the lines in {startup} that read it")
    undo = f"Undo it by: wbfiles completion {installation.shell} --uninstall"
    if not written:
        return f"Completion is installed already, in {printable(str(installation.script))}.\n{undo}"
    return f"Wrote {printable(' and '.join(written))}.\nNew shells complete wbfiles. {undo}"


def uninstall(installation: Installation) -> str:
    """Undo ``install``.

    Returns:
        What was removed.

    Raises:
        ForeignTextError: The script or the lines were edited.
        OSError: A file cannot be read or written.
    """
    removed, startup = [], installation.startup
    before = "" if startup is None else _read(startup)
    after = installation.without_lines(before) if startup is not None else before
    if _own_text(installation.script) is not None:
        installation.script.unlink()
        with suppress(OSError):  # other files are in it
            installation.script.parent.rmdir()
        removed.append(str(installation.script))
    if startup is not None and before != after:
        _write(startup, after)
        removed.append(f"the lines in {startup}")
    return f"Removed {printable(' and '.join(removed))}." if removed else "Completion is not installed."


def _own_text(script: Path) -> str | None:
    """Return the existing script; ``None`` if there is none.

    Raises:
        ForeignTextError: The file was not written by this command.
    """
    if not script.exists():
        return None
    text = _read(script)
    if not text.startswith(_SIGNATURE):
        raise ForeignTextError(
            f"{printable(str(script))} was not written by this command, so it is left as it is. Move it away and "
            "repeat the command."
        )
    return text


def _read(path: Path) -> str:
    """Read a text so that each byte and line ending survives."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Replace a file atomically; links and permissions are kept."""
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".wbfiles-", dir=target.parent) as folder:
        new = Path(folder, target.name)
        with new.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
        if target.exists():
            shutil.copymode(target, new)
        new.replace(target)
