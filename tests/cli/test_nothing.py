"""Messages and exit codes of ``wbfiles`` for URLs and selections that are empty or not what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_commands import FILES, RUN, Wbfiles, fetched
from test_commands import wbfiles as wbfiles
from test_rm import left

from wbfiles_async._cli.chosen import Chosen
from wbfiles_async._cli.nothing import hints
from wbfiles_async._download.selection import Selection
from wbfiles_async.testing import LocalServer

PROJECT = "team/project/"
PAGE = "team/project/runs/run1/files"
PNGS = {"media/images/a.png", "media/images/b.png"}

commands = pytest.mark.parametrize("command", [["ls"], ["get"], ["rm", "--yes"]], ids=lambda command: command[0])


class TestPatterns:
    @commands
    @pytest.mark.parametrize(
        "options",
        [
            ["--include", "*.gif"],
            ["--include", "media/images"],
            ["--include", "*.json,*.yaml"],
            ["--include", "*.{json,yaml}"],
            ["--include", "[a"],
            ["--include", "*.png", "--exclude", "media/"],
            ["--pattern", "*.png"],
        ],
        ids=lambda options: options[1],
    )
    def test_no_match_is_exit_code_4_with_the_number_of_files(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, command: list[str], options: list[str]
    ) -> None:
        ending = wbfiles(*command, RUN, *options)
        assert (ending.code, ending.out) == (4, "")
        assert f"the run {RUN} has 4 files, and none of them matches {options[0]} '{options[1]}'" in ending.err
        assert left(wandb_server) == set(FILES)
        assert not fetched(Path())

    @pytest.mark.parametrize("command", ["ls", "get"])
    def test_empty_pattern_selects_nothing(self, wbfiles: Wbfiles, command: str) -> None:
        ending = wbfiles(command, RUN, "--pattern", "")
        assert (ending.code, ending.out) == (4, "")
        assert "none of them matches --pattern ''" in ending.err
        assert not fetched(Path())

    @commands
    def test_no_match_is_reported_with_json_and_quiet(self, wbfiles: Wbfiles, command: list[str]) -> None:
        for option in ("--json", "--quiet"):
            ending = wbfiles(*command, RUN, "--include", "*.gif", option)
            assert ending.code == 4
            assert "has 4 files" in ending.err

    @commands
    def test_trailing_slash_means_the_folder(self, wbfiles: Wbfiles, command: list[str]) -> None:
        ending = wbfiles(*command, RUN, "--include", "media/")
        assert ending.code == 0
        assert {line.split("\t")[0] for line in ending.lines} == PNGS

    def test_folder_can_be_excluded(self, wbfiles: Wbfiles) -> None:
        assert wbfiles("get", RUN, "--exclude", "media/").code == 0
        assert fetched(Path()).keys() == FILES.keys() - PNGS

    @commands
    def test_excluding_all_files_is_reported_without_failure(self, wbfiles: Wbfiles, command: list[str]) -> None:
        ending = wbfiles(*command, RUN, "--exclude", "*")
        assert (ending.code, ending.out) == (0, "")
        assert ending.err == f"No files: the run {RUN} has 4 files, and --exclude leaves out all of them.\n"

    @pytest.mark.parametrize(
        ("glob", "hint"),
        [
            ("*.json,*.yaml", "once for each pattern"),
            ("{a,b}.txt", "once for each pattern"),
            ("[a", "without its ]"),
            ("media/[!x", "without its ]"),
            ("./media/*", "begin with no /"),
            ("/media/*", "begin with no /"),
            ("media/images", "put a / behind"),
            ("*.PNG", "case differ"),
        ],
    )
    def test_hints_suggest_a_correction(self, glob: str, hint: str) -> None:
        assert any(hint in each for each in hints(Chosen((), None, Selection([glob]))))

    def test_ordinary_patterns_need_no_hints(self) -> None:
        assert list(hints(Chosen((), None, Selection(["*.gif", "media/[ab]*", "media/"])))) == []


class TestRuns:
    @pytest.mark.parametrize("command", ["ls", "get"])
    def test_filters_without_a_matching_run_are_exit_code_4(self, wbfiles: Wbfiles, command: str) -> None:
        ending = wbfiles(command, PROJECT, "--filters", '{"stat": "finished"}')
        assert (ending.code, ending.out) == (4, "")
        assert 'the project team/project has 1 run, and none of them meets --filters {"stat": "finished"}' in ending.err
        assert "config.NAME" in ending.err

    def test_patterns_without_a_matching_file_are_exit_code_4(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("get", PROJECT, "--include", "*.gif")
        assert (ending.code, ending.out) == (4, "")
        assert "the project team/project has 1 run, and none of their files matches --include '*.gif'." in ending.err


class TestAddresses:
    @commands
    def test_file_page_url_selects_the_file(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, command: list[str]
    ) -> None:
        wandb_server.add_file(RUN, "media/images/a.png.txt", b"x")
        ending = wbfiles(*command, f"{wandb_server.base_url}/{PAGE}/media/images/a.png?nw=1")
        assert ending.code == 0
        assert [line.split("\t")[0] for line in ending.lines] == ["media/images/a.png"]

    @commands
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_folder_page_url_selects_its_files(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, command: list[str], slash: str
    ) -> None:
        ending = wbfiles(*command, f"{wandb_server.base_url}/{PAGE}/media{slash}")
        assert ending.code == 0
        assert {line.split("\t")[0] for line in ending.lines} == PNGS

    def test_cat_accepts_a_file_page_url(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        ending = wbfiles("cat", f"{wandb_server.base_url}/{PAGE}/absent.txt")
        assert ending.code == 4
        assert "absent.txt" in ending.err

    @commands
    def test_page_url_of_a_missing_file_is_exit_code_4(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, command: list[str]
    ) -> None:
        ending = wbfiles(*command, f"{wandb_server.base_url}/{PAGE}/absent")
        assert (ending.code, ending.out) == (4, "")
        assert "none of them matches --include 'absent/*'" in ending.err

    @commands
    def test_names_with_a_file_page_url_are_a_usage_error(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, command: list[str]
    ) -> None:
        ending = wbfiles(*command, f"{wandb_server.base_url}/{PAGE}/config.yaml", "model.bin")
        assert (ending.code, ending.out) == (2, "")
        assert "names config.yaml already" in ending.err
        assert left(wandb_server) == set(FILES)

    @pytest.mark.parametrize("command", ["ls", "get"])
    @pytest.mark.parametrize(
        "page", ["sweeps/s1", "groups/g1", "artifacts/model/m/v0", "reports/R--1", "runs/run1/a/b"]
    )
    def test_other_page_urls_are_usage_errors(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, command: str, page: str
    ) -> None:
        ending = wbfiles(command, f"{wandb_server.base_url}/team/project/{page}")
        assert (ending.code, ending.out) == (2, "")
        assert "it is the page of" in ending.err
        assert not fetched(Path())

    @pytest.mark.parametrize("arguments", [["ls"], ["get"], ["cat"], ["rm", "--all", "--yes"]], ids=lambda a: a[0])
    def test_url_of_another_server_is_a_usage_error(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, arguments: list[str]
    ) -> None:
        names: list[Any] = ["config.yaml"] if arguments[0] == "cat" else []
        ending = wbfiles(*arguments, "https://wandb.ai/team/project/runs/run1", *names)
        assert (ending.code, ending.out) == (2, "")
        assert "page of the server wandb.ai" in ending.err
        assert f"configured server is {wandb_server.base_url}" in ending.err
        assert left(wandb_server) == set(FILES)
