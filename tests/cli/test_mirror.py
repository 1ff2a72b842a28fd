"""``wbfiles get PROJECT/ --delete``: what it removes, and what it never removes."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from project_api import ProjectApi
from terminal import Terminal, environment
from test_commands import Ending, Wbfiles, fetched

from wbfiles_async._cli import main
from wbfiles_async._cli.mirroring import find_leftovers, remove_leftovers
from wbfiles_async._cli.output import Output
from wbfiles_async._disk.mirrored import RunFolder
from wbfiles_async._disk.names import MARK_NAME
from wbfiles_async._download.layout import Layout
from wbfiles_async._download.selection import Selection
from wbfiles_async.testing import LocalServer

PROJECT = "team/project"
NAMES = ("config.yaml", "media/a.png", "media/deep/b.png")
MIRROR = ["get", f"{PROJECT}/", "-o", "data", "--delete", "--yes"]


@pytest.fixture
def server(wandb_server: LocalServer) -> LocalServer:
    for run in ("run1", "run2"):
        for name in NAMES:
            wandb_server.add_file(f"{PROJECT}/{run}", name, f"{name} of {run}".encode())
    return wandb_server


@pytest.fixture
def wbfiles(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Wbfiles:
    monkeypatch.setenv("WANDB_BASE_URL", server.base_url)
    monkeypatch.setenv("WANDB_API_KEY", server.api_key)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Ending:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return Ending(code, out, err)

    return run


def stored(server: LocalServer, run: str, name: str) -> Path:
    return server.root / PROJECT / run / name


def data() -> set[str]:
    return {name for name in fetched(Path("data")) if not name.endswith(MARK_NAME)}


EVERYTHING = {f"{run}/{name}" for run in ("run1", "run2") for name in NAMES}


class TestMirror:
    def test_files_missing_from_the_project_are_removed(self, wbfiles: Wbfiles, server: LocalServer) -> None:
        assert wbfiles(*MIRROR).code == 0
        assert data() == EVERYTHING
        stored(server, "run1", "media/deep/b.png").unlink()
        server.add_file(f"{PROJECT}/run1", "new.txt", b"new")
        ending = wbfiles(*MIRROR)
        assert ending.code == 0
        assert "run1/media/deep/b.png\t24\tremoved" in ending.lines
        assert "1 local file, 24 B, that the project no longer has, removed." in ending.err
        assert data() == EVERYTHING - {"run1/media/deep/b.png"} | {"run1/new.txt"}
        assert not Path("data/run1/media/deep").exists(), "folders that are empty then go too"

    def test_folder_of_a_deleted_run_is_removed(self, wbfiles: Wbfiles, server: LocalServer) -> None:
        wbfiles(*MIRROR)
        (server.root / PROJECT / "run2").rename(server.root / "elsewhere")
        assert wbfiles(*MIRROR).code == 0
        assert data() == {name for name in EVERYTHING if name.startswith("run1/")}
        assert not Path("data/run2").exists()

    def test_dry_run_removes_nothing_and_writes_no_mark(self, wbfiles: Wbfiles, server: LocalServer) -> None:
        wbfiles("get", f"{PROJECT}/", "-o", "data")
        before = fetched(Path("data"))
        assert wbfiles("get", f"{PROJECT}/", "-o", "data", "--delete", "-n").code == 0
        assert fetched(Path("data")) == before
        wbfiles(*MIRROR)
        stored(server, "run1", "config.yaml").unlink()
        ending = wbfiles("get", f"{PROJECT}/", "-o", "data", "--delete", "-n", "--json")
        assert ending.objects[-1] == {
            "run": f"{PROJECT}/run1",
            "name": "config.yaml",
            "status": "removable",
            "path": "data/run1/config.yaml",
            "size": 19,
        }
        assert data() == EVERYTHING

    def test_runs_excluded_by_filters_are_kept(self, wbfiles: Wbfiles, server: LocalServer) -> None:
        wbfiles(*MIRROR)
        stored(server, "run2", "config.yaml").unlink()
        assert wbfiles(*MIRROR, "--filters", '{"name": {"$in": ["run1"]}}').code == 0
        assert data() == EVERYTHING

    def test_files_excluded_by_patterns_are_kept(self, wbfiles: Wbfiles, server: LocalServer) -> None:
        wbfiles(*MIRROR)
        for name in ("config.yaml", "media/a.png", "media/deep/b.png"):
            stored(server, "run1", name).unlink()
        assert wbfiles(*MIRROR, "--include", "media/", "--exclude", "*/a.png").code == 0
        assert data() == EVERYTHING - {"run1/media/deep/b.png"}


class TestForeignFiles:
    def test_folder_with_foreign_files_is_never_touched(self, wbfiles: Wbfiles) -> None:
        Path("data/run1").mkdir(parents=True)
        Path("data/run1/notes.txt").write_text("mine")
        Path("data/other").mkdir()
        Path("data/other/x").write_text("mine")
        Path("data/y").write_text("mine")
        for _ in range(2):
            ending = wbfiles(*MIRROR)
            assert ending.code == 0
            assert "data/run1 holds files that are not of its run" in ending.err
        assert data() == EVERYTHING | {"run1/notes.txt", "other/x", "y"}

    def test_folder_marked_for_another_run_is_not_touched(self, wbfiles: Wbfiles) -> None:
        wbfiles(*MIRROR)
        Path("data/run1/notes.txt").write_text("mine")
        Path("data/run1", MARK_NAME).write_text(f"{PROJECT}/run7")
        Path("data/copy").mkdir()
        Path("data/copy", MARK_NAME).write_text(f"{PROJECT}/run8")
        Path("data/copy/x").write_text("mine")
        assert wbfiles(*MIRROR).code == 0
        assert data() == EVERYTHING | {"run1/notes.txt", "copy/x"}

    def test_links_are_neither_followed_nor_removed(self, wbfiles: Wbfiles, server: LocalServer) -> None:
        wbfiles(*MIRROR)
        Path("outside").mkdir()
        Path("outside/precious.txt").write_text("precious")
        Path("data/run1/link").symlink_to(Path("outside").absolute())
        Path("data/run1/file").symlink_to(Path("outside/precious.txt").absolute())
        Path("data/run3").symlink_to(Path("outside").absolute())
        Path("outside", MARK_NAME).write_text(f"{PROJECT}/run3")
        assert wbfiles(*MIRROR).code == 0
        assert Path("outside/precious.txt").read_text() == "precious"
        assert Path("data/run1/link").is_symlink()
        assert Path("data/run1/file").is_symlink()
        assert Path("data/run3").is_symlink()

    def test_folder_replaced_by_a_link_is_not_entered(
        self, wbfiles: Wbfiles, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wbfiles(*MIRROR)
        Path("outside/deep").mkdir(parents=True)
        Path("outside/deep/b.png").write_text("precious")
        stored(server, "run1", "media/deep/b.png").unlink()

        async def swap(*arguments: Any, **named: Any) -> Any:
            left = await find_leftovers(*arguments, **named)
            Path("data/run1/media").rename("moved")
            Path("data/run1/media").symlink_to(Path("outside").absolute())
            return left

        monkeypatch.setattr("wbfiles_async._cli.commands.get.find_leftovers", swap)
        ending = wbfiles(*MIRROR)
        assert ending.code == 1
        assert "was not removed" in ending.err
        assert Path("outside/deep/b.png").read_text() == "precious"

    def test_event_loop_thread_does_no_file_work(
        self, wbfiles: Wbfiles, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wbfiles(*MIRROR, "--manifest", "manifests/m.jsonl")  # loads lazy imports
        shutil.rmtree(stored(server, "run1", ""))
        server.add_file(f"{PROJECT}/run2", "new.txt", b"new")
        ours = {Path("data").absolute(), Path("manifests").absolute()}
        touched: list[str] = []
        on_loop: list[str] = []

        def watch(module: Any, name: str) -> None:
            original = getattr(module, name)

            def watched(path: Any, *arguments: Any, **named: Any) -> Any:
                if isinstance(path, int) or ours & {*(Path.cwd() / path).parents, Path.cwd() / path}:
                    touched.append(name)
                    if asyncio._get_running_loop() is not None:
                        on_loop.append(f"{name} {path}")
                return original(path, *arguments, **named)

            monkeypatch.setattr(module, name, watched)

        for name in ("open", "mkdir", "scandir", "unlink", "fsync", "replace"):
            watch(os, name)
        watch(io, "open")
        assert wbfiles(*MIRROR, "--manifest", "manifests/m.jsonl").code == 0
        assert {"open", "scandir", "unlink", "fsync", "replace"} <= set(touched)
        assert on_loop == []
        assert not Path("data/run1/config.yaml").exists()

    def test_files_named_like_the_mark_are_refused(self, wbfiles: Wbfiles, server: LocalServer) -> None:
        server.add_file(f"{PROJECT}/run1", MARK_NAME, b"team/project/other")
        ending = wbfiles("get", f"{PROJECT}/", "-o", "data")
        assert ending.code == 1
        assert "kept for folders that mirror runs" in ending.err


class TestUncertainty:
    """An unreliable listing removes nothing."""

    def test_failed_download_removes_nothing(self, wbfiles: Wbfiles, server: LocalServer) -> None:
        wbfiles(*MIRROR)
        stored(server, "run1", "config.yaml").unlink()
        server.add_file(f"{PROJECT}/run2", ".wbfiles-state", b"refused")
        ending = wbfiles(*MIRROR)
        assert ending.code == 1
        assert "nothing was removed" in ending.err
        assert data() == EVERYTHING

    def test_missing_project_removes_nothing(self, wbfiles: Wbfiles, server: LocalServer) -> None:
        wbfiles(*MIRROR)
        (server.root / PROJECT).rename(server.root / "elsewhere")
        assert wbfiles(*MIRROR).code == 4
        assert data() == EVERYTHING

    @pytest.mark.parametrize("stated", [None, 4, 0], ids=["not counted", "more", "none"])
    async def test_incompletely_listed_run_keeps_its_folder(self, tmp_path: Path, stated: int | None) -> None:
        api = ProjectApi({"r0": {"a": 1}, "r1": {"a": 1, "b": 1}})
        make(tmp_path, {"r0": {"a", "old"}, "r1": {"a", "b", "old"}})
        original = api._run

        def lying(run: str, variables: dict[str, Any], cursor: str | None) -> dict[str, object] | None:
            answer = original(run, variables, cursor)
            return answer and answer | ({"fileCount": stated} if run == "r1" else {})

        api._run = lying  # type: ignore[method-assign]
        assert await removed(api, tmp_path) == {"r0/old"}

    @pytest.mark.parametrize("files", [None, {}, {"edges": None, "pageInfo": None}, {"edges": "x"}])
    async def test_empty_listing_removes_nothing(self, tmp_path: Path, files: object) -> None:
        api = ProjectApi({"r0": {"a": 1}})
        make(tmp_path, {"r0": {"a", "old"}})
        api._run = lambda *_: {"fileCount": 1, "files": files}  # type: ignore[method-assign]
        assert await removed(api, tmp_path) == set()

    async def test_run_missing_from_the_listing_is_looked_up(self, tmp_path: Path) -> None:
        api = ProjectApi({"r0": {"a": 1}, "r1": {"a": 1}})
        make(tmp_path, {"r0": {"a"}, "r1": {"a"}, "gone": {"a"}})
        original = api._runs

        def forgetful(variables: dict[str, Any]) -> dict[str, object]:
            hidden = api.runs
            api.runs = {"r0": hidden["r0"]}
            try:
                return original(variables)
            finally:
                api.runs = hidden

        api._runs = forgetful  # type: ignore[method-assign]
        assert await removed(api, tmp_path) == {"gone/a"}


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([f"{PROJECT}/run1", "--delete", "--yes"], "--delete is for projects"),
            ([f"{PROJECT}/", "--delete"], "terminal to ask on"),
            ([f"{PROJECT}/", "--delete", "--yes", "--layout", ""], "needs a folder for each run"),
            ([f"{PROJECT}/", "--delete", "--yes", "--layout", "{run}/files"], "needs a folder for each run"),
            ([f"{PROJECT}/", "--delete", "--yes", "--shard", "0/2"], "--shard is a part of it"),
            ([f"{PROJECT}/", "--delete", "--yes", "-o", "s3://bucket/x"], "not for object stores"),
        ],
    )
    def test_unsupported_mirror_arguments_are_usage_errors(
        self, wbfiles: Wbfiles, arguments: list[str], message: str
    ) -> None:
        ending = wbfiles("get", *arguments)
        assert (ending.code, ending.out) == (2, "")
        assert message in " ".join(ending.err.split())
        assert not fetched(Path())

    @pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1)])
    def test_terminal_asks_for_confirmation(
        self, wbfiles: Wbfiles, server: LocalServer, tmp_path: Path, answer: bytes, code: int
    ) -> None:
        layout = ["--layout", "{project}/r-{run}"]
        wbfiles(*MIRROR, *layout)
        stored(server, "run1", "config.yaml").unlink()
        arguments = [*MIRROR[:-1], *layout]
        with Terminal(arguments, environment(server), tmp_path / "here") as terminal:
            terminal.read_until(lambda text: "[y/N]" in text)
            assert "data/project/r-run1/config.yaml" in terminal.text
            assert "Remove 1 local file, 19 B, that the project no longer has?" in " ".join(terminal.text.split())
            terminal.type(answer)
            assert terminal.read_to_end() == code
        assert Path("data/project/r-run1/config.yaml").exists() is bool(code)


def make(root: Path, folders: dict[str, set[str]]) -> None:
    """Make folders of runs that are marked as mirrors."""
    for run, names in folders.items():
        for name in names:
            path = root / run / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        (root / run / MARK_NAME).write_text(f"{PROJECT}/{run}")


def local(root: Path) -> set[str]:
    return {os.path.relpath(path, root) for path in root.rglob("*") if path.is_file() and path.name != MARK_NAME}


async def removed(api: ProjectApi, root: Path, selection: Selection | None = None) -> set[str]:
    before = local(root)
    async with api.client() as client:
        left = await find_leftovers(
            client.runs(PROJECT), selection or Selection(), root, Layout("{run}"), dry_run=False
        )
    remove_leftovers(left, Output(quiet=True), dry_run=False, yes=True)
    return before - local(root)


PART = st.sampled_from(["a", "b", "x.png", "d", "é"])
NAMES_OF_RUN = st.frozensets(st.lists(PART, min_size=1, max_size=2).map("/".join), max_size=6)


def without_clashes(names: frozenset[str]) -> set[str]:
    """Skip names that are a folder of another one."""
    return {name for name in names if not any(other.startswith(f"{name}/") for other in names)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    remote=st.dictionaries(st.sampled_from(["r0", "r1", "r2"]), NAMES_OF_RUN, max_size=3),
    there=st.dictionaries(st.sampled_from(["r0", "r1", "r2", "r3"]), NAMES_OF_RUN, max_size=4),
    marked=st.frozensets(st.sampled_from(["r0", "r1", "r2", "r3"])),
    include=st.one_of(st.none(), st.lists(st.sampled_from(["a", "*", "d/", "*.png"]), max_size=2)),
)
async def test_only_missing_files_in_marked_folders_are_removed(
    tmp_path_factory: pytest.TempPathFactory,
    remote: dict[str, frozenset[str]],
    there: dict[str, frozenset[str]],
    marked: frozenset[str],
    include: list[str] | None,
) -> None:
    root = tmp_path_factory.mktemp("mirror")
    make(root, {run: without_clashes(names) for run, names in there.items() if names})
    for folder in root.iterdir():
        if folder.name not in marked:
            (folder / MARK_NAME).unlink()
    before = local(root)
    selection = Selection(include)
    gone = await removed(
        ProjectApi({run: dict.fromkeys(sorted(names), 1) for run, names in remote.items()}), root, selection
    )
    wanted = {
        f"{run}/{name}"
        for run, _, name in (path.partition("/") for path in before)
        if run in marked and name not in remote.get(run, ()) and selection.accepts(name)
    }
    assert gone == wanted


def test_mark_requires_that_all_files_belong_to_the_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, ("run",), f"{PROJECT}/run")
    assert not folder.mark(lambda name: True), "there is no folder"
    (tmp_path / "run/d").mkdir(parents=True)
    (tmp_path / "run/d/a").write_text("x")
    (tmp_path / "run/.a.wbfiles-part").write_text("x")
    (tmp_path / "run/d/.wbfiles-part/0").mkdir(parents=True)
    (tmp_path / "run/d/.wbfiles-part/0/a").write_text("x")
    assert not folder.mark(lambda name: name == "a")
    (tmp_path / "run/link").symlink_to("d/a")
    assert not folder.mark(lambda name: True), "a link is not ours"
    (tmp_path / "run/link").unlink()
    assert folder.mark(lambda name: name == "d/a")
    assert [file.name for file in folder.files()] == ["d/a"]
    assert folder.is_known()
    assert not RunFolder(tmp_path, ("run",), f"{PROJECT}/other").is_known()
    assert not RunFolder(tmp_path, ("run",), f"{PROJECT}/other").mark(lambda name: True)
    folder.drop()
    assert folder.is_known(), "it is not empty"
