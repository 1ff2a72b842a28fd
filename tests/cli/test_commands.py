"""The commands of ``wbfiles``: output and exit codes, without terminals and signals."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from scripted_server import waits as waits
from scripted_server import with_clock
from test_bad_input import mount as mount

from wbfiles_async import _session as session
from wbfiles_async import errors
from wbfiles_async._cli import main
from wbfiles_async._cli import (
    starting as starting,  # parsed here: CPython 3.11 may fail to parse after a RecursionError
)
from wbfiles_async._cli.ending import ExitCode, exit_code_of
from wbfiles_async._cli.options import Common
from wbfiles_async._rate_limit import RateLimit
from wbfiles_async.testing import LocalServer

RUN = "team/project/run1"
FILES = {
    "config.yaml": b"lr: 0.1\n",
    "media/images/a.png": b"a" * 2000,
    "media/images/b.png": b"b" * 3000,
    "model.bin": bytes(1 << 20) * 9,
}
UNSAFE = "evil\x1b[31m\n.txt"
"""A name that is valid on the server, would colour a terminal, and is never written."""


@attrs.frozen
class Ending:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


Wbfiles = Callable[..., Ending]


@pytest.fixture
def wbfiles(
    wandb_server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Wbfiles:
    """Run a command in an empty folder, with a server of the sample files."""
    for name, data in FILES.items():
        wandb_server.add_file(RUN, name, data)
    monkeypatch.setenv("WANDB_BASE_URL", wandb_server.base_url)
    monkeypatch.setenv("WANDB_API_KEY", wandb_server.api_key)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Ending:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return Ending(code, out, err)

    return run


@pytest.fixture
def no_waits(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of commands before retries end at once."""
    open_api = Common.open_api
    monkeypatch.setattr(Common, "open_api", lambda common: with_clock(open_api(common)))


def fetched(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


class TestProgram:
    def test_no_arguments_show_the_help(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles()
        assert ending.code == 0
        assert "ls " in ending.out
        assert "get " in ending.out
        assert ending == wbfiles("--help")

    def test_help_fits_into_80_columns(self, wbfiles: Wbfiles) -> None:
        for command in ([], ["ls"], ["get"], ["put"], ["du"], ["cat"], ["rm"], ["serve"], ["demo"], ["completion"]):
            ending = wbfiles(*command, "--help")
            assert ending.code == 0
            assert max(map(len, ending.lines)) <= 80

    def test_help_lists_exit_codes_and_credential_sources(self, wbfiles: Wbfiles) -> None:
        help_text = wbfiles("--help").out
        for word in ("Exit codes", "130", "WANDB_API_KEY", "netrc"):
            assert word in help_text

    def test_version_is_that_of_the_package(self, wbfiles: Wbfiles) -> None:
        from wbfiles_async import __version__

        assert wbfiles("--version").out == f"wbfiles {__version__}\n"

    @pytest.mark.parametrize("command", ["ls", "get", "put", "du", "cat", "rm"])
    def test_no_option_takes_credentials(self, wbfiles: Wbfiles, command: str) -> None:
        options = re.findall(r"--[a-z-]+", wbfiles(command, "--help").out)
        assert "--base-url" in options
        assert not [option for option in options if re.search("key|token|password|user|netrc", option)]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["ls"], "RUN"),
            (["nonsense"], "nonsense"),
            (["ls", RUN, "--nonsense"], "--nonsense"),
            (["get", RUN, "--existing", "perhaps"], "perhaps"),
            (["get", RUN, "--connections", "0"], "connections"),
            (["get", RUN, "--limit-rate", "fast"], "limit-rate"),
            (["get", "a/b/c/d"], "a/b/c/d"),
            (["get", RUN, "--include", ""], "pattern"),
            (["get", RUN, "config.yaml", "--include", "*"], "not both"),
            (["ls", RUN, "--pattern", "%", "config.yaml"], "not both"),
            (["--base-url", "nonsense", "ls", RUN], "nonsense"),
            (["serve", "nowhere"], "nowhere"),
            (["serve", ".", "--api-key", "short"], "5 characters"),
        ],
    )
    def test_usage_error_is_explained(self, wbfiles: Wbfiles, arguments: list[str], message: str) -> None:
        ending = wbfiles(*arguments)
        assert ending.code == 2
        assert ending.err.startswith("wbfiles: ")
        assert message in ending.err
        assert "Traceback" not in ending.err
        assert not ending.out

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (errors.AuthenticationError("x"), ExitCode.CREDENTIALS),
            (errors.PermissionDeniedError("x"), ExitCode.CREDENTIALS),
            (errors.RunNotFoundError("x", run="r"), ExitCode.NOT_FOUND),
            (errors.RemoteFileNotFoundError("x", name="n", run="r"), ExitCode.NOT_FOUND),
            (errors.ConfigurationError("x"), ExitCode.USAGE),
            (errors.ApiError("x", status=400), ExitCode.FAILED),
            (errors.TransferError("x"), ExitCode.FAILED),
            (errors.LocalWriteError("x", errno=28, path=Path("p")), ExitCode.FAILED),
        ],
    )
    def test_each_error_has_its_exit_code(self, error: errors.WBFilesError, code: int) -> None:
        assert exit_code_of(error) == code

    def test_missing_credentials_are_exit_code_3(self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WANDB_API_KEY")
        ending = wbfiles("ls", RUN)
        assert ending.code == 3
        assert "WANDB_API_KEY is not set" in ending.err

    def test_refused_credentials_are_exit_code_3_without_the_key(
        self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WANDB_API_KEY", "wrong" * 8)
        ending = wbfiles("get", RUN)
        assert ending.code == 3
        assert "WANDB_API_KEY" in ending.err
        assert "wrongwrong" not in ending.err

    @pytest.mark.usefixtures("no_waits")
    @pytest.mark.parametrize(
        "arguments",
        [["ls", RUN], ["get", RUN], ["put", RUN, __file__, "-o", "/"], ["cat", RUN, "a"], ["rm", RUN, "--all", "-y"]],
    )
    def test_unreachable_server_is_reported_in_one_line(
        self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
    ) -> None:
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
        ending = wbfiles(*arguments, "--quiet")
        assert (ending.code, ending.out) == (1, "")
        assert len(ending.err.splitlines()) == 1
        assert ending.err.startswith("wbfiles: 127.0.0.1 cannot be reached")
        assert "Check the network" in ending.err

    @pytest.mark.parametrize(
        "arguments",
        [["ls", RUN], ["get", RUN], ["put", RUN, __file__, "-o", "/"], ["cat", RUN, "a"], ["rm", RUN, "--all", "-y"]],
    )
    def test_wrong_key_is_reported_in_one_line(
        self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
    ) -> None:
        monkeypatch.setenv("WANDB_API_KEY", "wrong" * 8)
        ending = wbfiles(*arguments)
        assert (ending.code, ending.out) == (3, "")
        assert len(ending.err.splitlines()) == 1
        assert "get a new one from" in ending.err

    @pytest.mark.parametrize("command", ["ls", "get"])
    def test_missing_run_is_exit_code_4(self, wbfiles: Wbfiles, command: str) -> None:
        ending = wbfiles(command, "team/project/other")
        assert ending.code == 4
        assert "team/project/other" in ending.err
        assert not list(Path.cwd().iterdir())

    def test_base_url_is_accepted_before_and_after_the_command(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
        given = ["--base-url", wandb_server.base_url]
        assert wbfiles(*given, "ls", RUN).code == 0
        assert wbfiles("ls", *given, RUN).code == 0


class TestLs:
    def test_output_without_a_terminal_is_tab_separated(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("ls", RUN)
        assert ending.code == 0
        rows = {name: cells for name, *cells in (line.split("\t") for line in ending.lines)}
        assert set(rows) == set(FILES)
        size, kind, updated, digest = rows["media/images/a.png"]
        assert (size, kind, digest) == ("2000", "image/png", md5(FILES["media/images/a.png"]))
        assert updated.startswith("20")
        assert not ending.err

    def test_json_is_one_object_per_line_without_signed_urls(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("ls", RUN, "--json")
        described = {each.pop("name"): each for each in ending.objects}
        assert set(described) == set(FILES)
        model = described["model.bin"]
        assert set(model) == {"size", "md5", "mimetype", "updated_at", "path_uri"}
        assert (model["size"], model["md5"]) == (9 << 20, md5(FILES["model.bin"]))
        assert "http" not in ending.out

    def test_names_globs_and_like_patterns_select(self, wbfiles: Wbfiles) -> None:
        def names(*arguments: str) -> set[str]:
            return {line.split("\t")[0] for line in wbfiles("ls", RUN, *arguments).lines}

        assert names("config.yaml", "model.bin") == {"config.yaml", "model.bin"}
        assert names("--include", "*.png", "--exclude", "*/b.*") == {"media/images/a.png"}
        assert names("--include", "*.yaml", "--include", "*.bin") == {"config.yaml", "model.bin"}
        assert names("--pattern", "media/%") == {"media/images/a.png", "media/images/b.png"}

    def test_control_characters_of_names_are_escaped(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(RUN, UNSAFE, b"x")
        plain = wbfiles("ls", RUN)
        assert "evil\\x1b[31m\\n.txt\t1\t" in plain.out
        assert "\x1b" not in plain.out
        exact = wbfiles("ls", RUN, "--json")
        assert "\x1b" not in exact.out
        assert UNSAFE in {each["name"] for each in exact.objects}

    def test_missing_names_are_reported(self, wbfiles: Wbfiles) -> None:
        some = wbfiles("ls", RUN, "config.yaml", "absent.txt")
        assert some.code == 1
        assert len(some.lines) == 1
        assert "'absent.txt'" in some.err
        none = wbfiles("ls", RUN, "absent.txt")
        assert none.code == 4
        assert not none.out

    def test_empty_run_without_a_selection_is_no_failure(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        (wandb_server.root / "team/project/empty").mkdir()
        ending = wbfiles("ls", "team/project/empty")
        assert (ending.code, ending.out, ending.err) == (0, "", "No files.\n")


class TestGet:
    def test_downloads_and_lists_all_files(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("get", RUN, "--root", "data")
        assert ending.code == 0
        assert fetched(Path("data")) == FILES
        assert sorted(ending.lines) == sorted(f"{name}\t{len(data)}\tdownloaded" for name, data in FILES.items())
        assert ending.err.startswith("4 files, 9.0 MiB in ")
        assert ending.err.endswith(" s, all verified, in data\n")

    def test_current_folder_is_the_default(self, wbfiles: Wbfiles) -> None:
        assert wbfiles("get", RUN, "config.yaml").code == 0
        assert fetched(Path()) == {"config.yaml": FILES["config.yaml"]}

    def test_second_download_keeps_good_files_and_repairs_others(self, wbfiles: Wbfiles) -> None:
        wbfiles("get", RUN)
        Path("config.yaml").write_bytes(b"xx: 0.1\n")
        ending = wbfiles("get", RUN)
        assert "config.yaml\t8\tdownloaded" in ending.lines
        assert "model.bin\t9437184\tkept" in ending.lines
        assert "3 files already there, all verified" in ending.err
        assert fetched(Path()) == FILES

    def test_globs_select(self, wbfiles: Wbfiles) -> None:
        wbfiles("get", RUN, "--include", "*.png", "--exclude", "*/b.png")
        assert set(fetched(Path())) == {"media/images/a.png"}

    def test_json_has_a_line_per_file_and_a_summary(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(RUN, UNSAFE, b"x")
        ending = wbfiles("get", RUN, "--json", "-o", "data")
        assert ending.code == 1
        assert not ending.err
        *results, last = ending.objects
        described = {each.pop("name"): each for each in results}
        parts = described["model.bin"]["parts"]
        assert parts > 1
        assert described["model.bin"] == {
            "run": RUN,
            "status": "downloaded",
            "path": "data/model.bin",
            "size": 9 << 20,
            "verified": True,
            "parts": parts,
            "resumed": 0,
            "error": None,
        }
        assert described[UNSAFE]["status"] == "failed"
        assert described[UNSAFE]["path"] is None
        assert described[UNSAFE]["error"]["type"] == "UnsafePathError"
        summary = last["summary"]
        assert (summary["files"], summary["downloaded"], summary["failed"], summary["verified"]) == (5, 4, 1, 4)
        assert (summary["root"], summary["parts"]) == ("data", 3 + parts)

    def test_failed_file_is_reported_and_others_are_downloaded(
        self, wbfiles: Wbfiles, wandb_server: LocalServer
    ) -> None:
        wandb_server.add_file(RUN, UNSAFE, b"x")
        ending = wbfiles("get", RUN)
        assert ending.code == 1
        assert fetched(Path()) == FILES
        assert "1 of 5 files failed:\n" in ending.err
        assert "evil\\x1b[31m\\n.txt" in ending.err
        assert "\x1b" not in ending.err
        assert "wbfiles cat RUN NAME > FILE" in ending.err
        assert "again" not in ending.err, "which would not help"

    def test_only_the_first_failures_are_named(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        for number in range(12):
            wandb_server.add_file(RUN, f".no{number}.wbfiles-part", b"x")
        ending = wbfiles("get", RUN, "--include", ".no*")
        assert ending.code == 1
        assert ending.err.count("\n  the remote file") == 10
        assert "and 2 more" in ending.err

    def test_many_failures_of_one_kind_hide_no_other(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        for number in range(12):
            wandb_server.add_file(RUN, f".no{number}.wbfiles-part", b"x")
        Path("config.yaml").mkdir()
        ending = wbfiles("get", RUN)
        assert ending.code == 1
        first, second = ending.err.partition("failed:\n")[2].splitlines()[:2]
        assert "'.no0.wbfiles-part'" in first + second
        assert "config.yaml" in first + second
        assert ending.err.endswith("Run the same command again to download what is missing.\n")

    def test_missing_names_are_failures(self, wbfiles: Wbfiles) -> None:
        some = wbfiles("get", RUN, "config.yaml", "absent.txt", "media")
        assert some.code == 1
        assert set(fetched(Path())) == {"config.yaml"}
        assert "'absent.txt'" in some.err
        assert "'media'" in some.err
        assert "--include" in some.err
        assert wbfiles("get", RUN, "absent.txt").code == 4

    def test_missing_names_are_failures_in_json(self, wbfiles: Wbfiles) -> None:
        result, last = wbfiles("get", RUN, "absent.txt", "--json").objects
        assert (result["name"], result["status"]) == ("absent.txt", "failed")
        assert result["error"]["type"] == "RemoteFileNotFoundError"
        assert (last["summary"]["files"], last["summary"]["failed"]) == (1, 1)

    def test_dry_run_lists_and_writes_nothing(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("get", RUN, "--dry-run", "-o", "data")
        assert ending.code == 0
        assert "model.bin\t9437184\tplanned" in ending.lines
        assert "would be downloaded" in ending.err
        assert not Path("data").exists()

    def test_existing_error_message_names_the_option(self, wbfiles: Wbfiles) -> None:
        Path("config.yaml").write_bytes(b"mine")
        ending = wbfiles("get", RUN, "config.yaml", "--existing", "error")
        assert ending.code == 1
        assert Path("config.yaml").read_bytes() == b"mine"
        assert "config.yaml already exists" in ending.err
        assert "--existing verify" in ending.err
        assert "replace=True" not in ending.err

    def test_existing_keep_and_replace(self, wbfiles: Wbfiles) -> None:
        Path("config.yaml").write_bytes(b"mine")
        assert "kept" in wbfiles("get", RUN, "config.yaml", "--existing", "keep").out
        assert Path("config.yaml").read_bytes() == b"mine"
        assert "downloaded" in wbfiles("get", RUN, "config.yaml", "--existing", "replace").out
        assert Path("config.yaml").read_bytes() == FILES["config.yaml"]

    def test_rate_can_be_limited(self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch) -> None:
        rates: list[float] = []

        class Noting(RateLimit):
            def __init__(self, rate: float) -> None:
                super().__init__(rate)
                rates.append(rate)

        monkeypatch.setattr(session, "RateLimit", Noting)
        assert wbfiles("get", RUN, "config.yaml", "--limit-rate", "1.5M").code == 0
        assert rates == [1.5 * (1 << 20)]

    def test_no_verify_reports_nothing_as_verified(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("get", RUN, "model.bin", "--no-verify")
        assert ending.code == 0
        assert "none verified" in ending.err

    def test_root_that_is_a_file_is_a_usage_error(self, wbfiles: Wbfiles) -> None:
        Path("taken").write_text("x")
        ending = wbfiles("get", RUN, "-o", "taken")
        assert ending.code == 2
        assert "taken" in ending.err

    def test_insufficient_space_is_reported_before_any_download(
        self, wbfiles: Wbfiles, mount: Callable[[str], Path]
    ) -> None:
        disk = mount("size=64k")
        ending = wbfiles("get", RUN, "-o", str(disk))
        assert ending.code == 1
        assert fetched(disk) == {}
        assert "free some space" in ending.err
        assert ending.err.splitlines()[-1] == "Run the same command again to download what is missing."

    def test_read_only_disk_is_reported_in_one_line(self, wbfiles: Wbfiles, mount: Callable[[str], Path]) -> None:
        ending = wbfiles("get", RUN, "-o", str(mount("ro") / "below"))
        assert (ending.code, ending.out) == (1, "")
        assert len(ending.err.splitlines()) == 1
        assert "read-only" in ending.err

    def test_quiet_prints_nothing(self, wbfiles: Wbfiles) -> None:
        for arguments in (["--quiet", "get", RUN], ["get", RUN, "-q"]):
            ending = wbfiles(*arguments)
            assert (ending.code, ending.out, ending.err) == (0, "", "")
        assert fetched(Path()) == FILES

    def test_quiet_still_reports_failures(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(RUN, UNSAFE, b"x")
        ending = wbfiles("get", RUN, "--quiet")
        assert ending.code == 1
        assert "1 of 5 files failed" in ending.err
        assert not ending.out

    @pytest.mark.parametrize(("value", "silent"), [("true", True), ("1", True), ("false", False), ("", False)])
    def test_wandb_silent_is_honoured(
        self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch, value: str, silent: bool
    ) -> None:
        monkeypatch.setenv("WANDB_SILENT", value)
        ending = wbfiles("get", RUN, "config.yaml")
        assert ending.code == 0
        assert (ending.out + ending.err == "") is silent

    def test_quiet_keeps_json_output(self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_SILENT", "true")
        assert len(wbfiles("get", RUN, "--json").objects) == len(FILES) + 1

    def test_warnings_of_the_library_are_shown_unless_quiet(self, wbfiles: Wbfiles) -> None:
        Path("wandb").mkdir()
        Path("wandb/settings").write_text("[default]\nbase_url = https://elsewhere.example\n")
        ending = wbfiles("ls", RUN)
        assert ending.code == 0
        assert "wbfiles: " in ending.err
        assert "https://elsewhere.example" in ending.err
        assert not wbfiles("ls", RUN, "--quiet").err
