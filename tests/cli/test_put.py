"""``wbfiles put``: uploads, output and exit codes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from terminal import SECONDS, Terminal, environment, started
from test_commands import RUN, Wbfiles
from test_commands import wbfiles as wbfiles
from test_rm import answering_once

from wbfiles_async.testing import LocalServer

OUT = {"out/model.pt": b"m" * 2000, "out/media/a.png": b"a" * 100, "notes.txt": b"notes"}


@pytest.fixture
def here(wbfiles: Wbfiles) -> None:
    """The sample files, in the folder of the commands."""
    for name, data in OUT.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


of_files = pytest.mark.usefixtures("here")


def uploaded(server: LocalServer) -> dict[str, bytes]:
    run = server.root / RUN
    names = {*OUT, *(name.removeprefix("out/") for name in OUT)}
    return {name: (run / name).read_bytes() for name in names if (run / name).is_file()}


@of_files
def test_files_and_folders_are_uploaded_and_listed(wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
    ending = wbfiles("put", RUN, "out", "notes.txt")
    assert ending.code == 0
    assert sorted(ending.lines) == [
        "notes.txt\t5\tuploaded",
        "out/media/a.png\t100\tuploaded",
        "out/model.pt\t2000\tuploaded",
    ]
    assert ending.err.startswith("3 files, 2.1 KiB uploaded in ")
    assert uploaded(wandb_server) == OUT
    again = wbfiles("put", RUN, "out", "notes.txt")
    assert (again.code, {line.rpartition("\t")[2] for line in again.lines}) == (0, {"kept"})


@of_files
def test_names_are_relative_to_the_root(wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
    assert wbfiles("put", RUN, "out", "--root", "out", "--exclude", "*.pt").code == 0
    assert uploaded(wandb_server) == {"media/a.png": OUT["out/media/a.png"]}


@of_files
def test_downloaded_files_can_be_uploaded_again(wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
    assert wbfiles("get", RUN, "--root", "data").code == 0
    ending = wbfiles("put", RUN, "data", "--root", "data", "--json")
    assert ending.code == 0
    assert ending.objects[-1]["summary"]["kept"] == ending.objects[-1]["summary"]["files"] == 4


@of_files
def test_dry_run_uploads_nothing(wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
    ending = wbfiles("put", RUN, "out", "-n")
    assert (ending.code, sorted(ending.lines)) == (0, ["out/media/a.png\t100\tplanned", "out/model.pt\t2000\tplanned"])
    assert "would be uploaded" in ending.err
    assert uploaded(wandb_server) == {}


@of_files
def test_json_has_a_line_per_file_and_a_total(wbfiles: Wbfiles) -> None:
    ending = wbfiles("put", RUN, "notes.txt", "--json")
    result, end = ending.objects
    path = str(Path("notes.txt").absolute())
    assert result == {
        "run": RUN, "name": "notes.txt", "status": "uploaded", "path": path, "size": 5, "verified": True, "error": None,
    }  # fmt: skip
    assert {key: end["summary"][key] for key in ("run", "files", "uploaded", "bytes", "stopped")} == {
        "run": RUN, "files": 1, "uploaded": 1, "bytes": 5, "stopped": None,
    }  # fmt: skip


@of_files
def test_failures_are_named(wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
    Path("out/link").symlink_to("model.pt")
    ending = wbfiles("put", RUN, "out")
    assert ending.code == 1
    assert "1 of 3 files failed" in ending.err
    assert "symbolic link" in ending.err
    assert "Run the same command again" in ending.err
    assert uploaded(wandb_server).keys() == {"out/model.pt", "out/media/a.png"}


@of_files
def test_existing_files_can_be_an_error(wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
    wandb_server.add_file(RUN, "notes.txt", b"old")
    ending = wbfiles("put", RUN, "notes.txt", "--existing", "error")
    assert ending.code == 1
    assert "has a file of that name already" in ending.err
    assert "Run it again with --existing verify" in ending.err
    assert uploaded(wandb_server) == {"notes.txt": b"old"}


@of_files
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([RUN], 2, "Missing argument 'PATH...'"),
        ([RUN, ".."], 2, "is not below the root"),
        ([RUN, "nope"], 1, "there is no such file"),
        ([RUN, "out", "--include", "*.gif"], 4, "matches --include"),
        ([RUN, "out", "--exclude", "*"], 0, "--exclude leaves out all"),
        (["team/project/", "out"], 2, "is a project, and a run is needed"),
        (["team/project/absent", "out"], 4, "not found"),
        ([RUN, "out", "--existing", "overwrite"], 2, "overwrite"),
    ],
)
def test_invalid_paths_are_reported(
    wbfiles: Wbfiles, wandb_server: LocalServer, arguments: list[str], code: int, words: str
) -> None:
    ending = wbfiles("put", *arguments)
    assert (ending.code, words in ending.err) == (code, True), ending.err
    assert uploaded(wandb_server) == {}


@of_files
def test_empty_folder_uploads_nothing(wbfiles: Wbfiles) -> None:
    Path("empty").mkdir()
    ending = wbfiles("put", RUN, "empty")
    assert (ending.code, ending.err.strip()) == (0, "No files in empty.")


def test_interrupted_upload_explains_how_to_continue(tmp_path: Path) -> None:
    """Answers the first mutation, but not the next one, which marks the files as uploaded."""
    (tmp_path / "file").write_bytes(b"x")
    with answering_once(tmp_path / "served") as server:
        server.add_run(RUN)
        with started(["put", RUN, "file"], server, tmp_path) as child:
            deadline = time.monotonic() + SECONDS
            while not (server.root / RUN / "file").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, out) == (130, "")
    assert err == ("wbfiles: stopped with 0 files uploaded.\nRun the same command again to upload what is missing.\n")


def test_terminal_shows_progress_instead_of_lines(wandb_server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1 << 20) * 8)
    wandb_server.add_run(RUN)
    with Terminal(["put", RUN, "file"], environment(wandb_server), tmp_path) as terminal:
        assert terminal.read_to_end() == 0
    assert "\tuploaded" not in terminal.text
    assert "1 file, 8.0 MiB uploaded in" in terminal.text
