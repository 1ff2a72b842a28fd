"""Completion with the tab key, in a real bash."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_commands import RUN, Wbfiles
from test_commands import wbfiles as wbfiles

from wbfiles_async.testing import LocalServer

BASH = shutil.which("bash") or ""

# Does what readline does when tab is pressed after the last word.
PRESS = """
eval "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
function=$(complete -p wbfiles); function=${function##*-F }
compopt() { OPTIONS="$*"; }  # which only works while a key is being pressed
"${function%% *}" wbfiles
printf '%s\\n' "${COMPREPLY[@]}" "$OPTIONS"
"""

Press = Callable[..., set[str]]


@pytest.fixture(scope="module")
def script() -> str:
    """The output of ``wbfiles completion bash``."""
    command = [sys.executable, "-m", "wbfiles_async", "completion", "bash"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture
def press(wandb_server: LocalServer, tmp_path: Path, script: str) -> Press:
    """Type these words after ``wbfiles`` and press tab; return the completions."""
    if not BASH:
        pytest.skip("there is no bash")
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "wbfiles"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m wbfiles_async "$@"\n')
    program.chmod(0o755)
    environ = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "WANDB_BASE_URL": wandb_server.base_url,
        "WANDB_API_KEY": wandb_server.api_key,
        "SCRIPT": script,
    }

    def run(*words: str, **changes: str) -> set[str]:
        child = subprocess.run(
            [BASH, "--norc", "-c", PRESS, "bash", "wbfiles", *words],
            cwd=tmp_path, env=environ | changes, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (child.returncode, child.stderr) == (0, "")
        return set(child.stdout.split("\n")) - {""}

    return run


def test_commands_and_options_and_their_values_are_completed(press: Press) -> None:
    assert press("") == {"ls", "get", "put", "cat", "rm", "du", "report", "serve", "demo", "completion"}
    assert press("rm", RUN, "--in") == {"--include"}
    assert press("get", "--existing", "re") == {"replace"}
    assert press("completion", "f") == {"fish"}


def test_names_of_the_runs_files_are_completed(press: Press, wandb_server: LocalServer) -> None:
    for name in (
        "media/a.png",
        "media/b.png",
        "Media.txt",
        "m%_x.bin",
        "mzzx.bin",
        "two words",
        "$(reboot)",
        "x:y",
        "--yes",
        "-rf",
    ):
        wandb_server.add_file(RUN, name, b"x")
    assert press("rm", RUN, "m") == {"media/a.png", "media/b.png", "m%_x.bin", "mzzx.bin"}
    assert press("cat", RUN, "media/b") == {"media/b.png"}
    assert press("get", RUN, "config.yaml", "media/b") == {"media/b.png"}
    assert press("cat", RUN, "m%_") == {"m%_x.bin"}, "what is typed is no pattern"
    harmless = {"media/a.png", "media/b.png", "Media.txt", "m%_x.bin", "mzzx.bin", r"two\ words"}
    assert press("cat", RUN, "") == harmless, "names that the shell would run, or take for options, are left out"
    assert press("cat", RUN, r"two\ w") == {r"two\ words"}
    assert press("rm", RUN, "-r") == set()
    assert press("rm", RUN, "--ye") == {"--yes", "--yes-delete-everything-in"}, (
        "the options, which are offered for themselves"
    )


def test_runs_of_a_project_are_completed(press: Press, wandb_server: LocalServer) -> None:
    for run in ("first", "second", "sec.nd", "-sly"):
        wandb_server.add_file(f"team/project/{run}", "a.txt", b"x")
    assert press("ls", "team/project/se") == {"team/project/second", "team/project/sec.nd"}
    assert press("get", "team/project/sec.") == {"team/project/sec.nd"}, "what is typed is no pattern"
    assert {"team/project/first", "team/project/second"} <= press("cat", "team/project/")
    assert press("rm", "fi", WANDB_ENTITY="team", WANDB_PROJECT="project") == {"first"}
    known = {"WANDB_ENTITY": "team", "WANDB_PROJECT": "project"}
    assert press("ls", "", **known) == {"first", "second", "sec.nd", "team/"}


def test_projects_of_an_entity_are_completed(press: Press, wandb_server: LocalServer) -> None:
    for project in ("vision", "voice", "two words", "$(reboot)", "audio"):
        wandb_server.add_file(f"team/{project}/run", "a.txt", b"x")
    wandb_server.add_file("local/mine/run", "a.txt", b"x")
    no_blank = {"-o", "nospace"}
    assert press("ls", "team/v") == {"team/vision/", "team/voice/"} | no_blank
    assert press("get", "team/") == {"team/vision/", "team/voice/", "team/audio/", r"team/two\ words/"} | no_blank
    assert press("cat", "team/vision/") == {"team/vision/run"}, "and a blank behind it"
    assert press("ls", "") == {"local/"} | no_blank, "the default entity"
    assert press("ls", "", WANDB_ENTITY="team") == {"team/"} | no_blank
    assert press("ls", "te", WANDB_ENTITY="team") == {"team/"} | no_blank
    for path in ("nobody/", "../", "te", "https://wandb.ai/team/", "team/vision/run/x"):
        assert press("ls", path) == set()


@pytest.mark.parametrize(
    "changes",
    [{"WANDB_API_KEY": ""}, {"WANDB_API_KEY": "wrong" * 8}, {"WANDB_BASE_URL": "http://127.0.0.1:1"}],
    ids=["no credentials", "wrong credentials", "no server"],
)
def test_failed_lookup_completes_nothing_silently(
    press: Press, wandb_server: LocalServer, changes: dict[str, str]
) -> None:
    wandb_server.add_file(RUN, "media/a.png", b"x")
    assert press("cat", RUN, "m", **changes) == set()
    assert press("cat", "team/project/absent", "m") == set()


@pytest.mark.parametrize(
    ("shell", "shown"),
    [("bash", "compopt -o nospace"), ("zsh", "compadd -U -V unsorted -S ''"), ("fish", "--command wbfiles")],
)
def test_each_shell_gets_its_script(wbfiles: Wbfiles, shell: str, shown: str) -> None:
    ending = wbfiles("completion", shell)
    assert ending.code == 0
    assert shown in ending.out
    assert "_WBFILES_COMPLETE" in ending.out


def test_shell_argument_is_required(wbfiles: Wbfiles) -> None:
    ending = wbfiles("completion")
    assert (ending.code, ending.out) == (2, "")
    assert ending.err.splitlines()[0] == "wbfiles: Name the shell: wbfiles completion bash, zsh or fish."


def test_unsupported_shell_is_a_usage_error(wbfiles: Wbfiles) -> None:
    ending = wbfiles("completion", "tcsh")
    assert (ending.code, ending.out) == (2, "")
    assert "tcsh" in ending.err
