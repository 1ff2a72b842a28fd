"""``wbfiles get``, ``ls`` and ``du`` of whole projects."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from test_commands import Ending, Wbfiles, fetched
from test_commands import wbfiles as wbfiles

from wbfiles_async._models import RunPath
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._records import RunRecord, RunState

PROJECT = "lab/vision"
FILES = {
    f"{run}/{name}": f"{name} of {run}".encode()
    for run in ("first", "second", "third")
    for name in ("config.yaml", "media/table.json", "wandb-summary.json")
}
STATES: dict[str, RunState] = {"third": "failed", "first": "finished", "second": "running"}
"""In the order in which the runs were made."""


def keep(record: RunRecord, _: RunRecord | None) -> RunRecord:
    return record


@pytest.fixture(autouse=True)
def project(wandb_server: LocalServer) -> None:
    for place, data in FILES.items():
        run, _, name = place.partition("/")
        wandb_server.add_file(f"{PROJECT}/{run}", name, data)
    for day, (run, state) in enumerate(STATES.items(), start=1):
        created = f"2026-01-0{day}"
        record = RunRecord(display_name=f"The {run}", state=state, created_at=created, heartbeat_at=created)
        wandb_server._records.change(RunPath("lab", "vision", run), partial(keep, record))


def operations(server: LocalServer) -> Counter[str]:
    return Counter(request.operation or request.path.split("/")[1] for request in server.requests)


class TestGet:
    @pytest.mark.parametrize("path", [PROJECT, f"{PROJECT}/", f"{PROJECT}/runs"])
    def test_downloads_each_run_into_its_own_folder(self, wbfiles: Wbfiles, path: str) -> None:
        ending = wbfiles("get", path, "-o", "data")
        assert ending.code == 0
        assert fetched(Path("data")) == FILES
        assert sorted(ending.lines) == sorted(f"{name}\t{len(data)}\tdownloaded" for name, data in FILES.items())
        assert "9 files" in ending.err
        assert "all verified, in data" in ending.err

    def test_project_page_url_is_accepted(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        assert wbfiles("get", f"{wandb_server.base_url}/{PROJECT}/table", "--include", "*.yaml").code == 0
        assert len(fetched(Path())) == 3

    def test_two_part_path_is_a_run_of_the_default_entity_if_it_exists(
        self, wbfiles: Wbfiles, wandb_server: LocalServer
    ) -> None:
        wandb_server.add_file("local/lab/vision", "a.txt", b"of the run")
        assert wbfiles("get", PROJECT).code == 0
        assert fetched(Path()) == {"a.txt": b"of the run"}
        assert wbfiles("get", f"{PROJECT}/", "--root", "project").code == 0
        assert fetched(Path("project")) == FILES

    def test_one_request_lists_runs_and_files_and_a_repeat_contacts_no_store(
        self, wbfiles: Wbfiles, wandb_server: LocalServer
    ) -> None:
        wandb_server.clear_requests()
        assert wbfiles("get", f"{PROJECT}/", "--include", "*.json").code == 0
        assert operations(wandb_server) == {"Runs": 1, "store": 6}
        wandb_server.clear_requests()
        assert "6 files already there" in wbfiles("get", f"{PROJECT}/", "--include", "*.json").err
        assert operations(wandb_server) == {"Runs": 1}

    def test_filters_select_runs(self, wbfiles: Wbfiles) -> None:
        filters = json.dumps({"state": {"$in": ["failed", "running"]}})
        assert wbfiles("get", PROJECT, "--filters", filters, "--exclude", "*.json").code == 0
        assert fetched(Path()).keys() == {"second/config.yaml", "third/config.yaml"}

    def test_layout_determines_the_folders(self, wbfiles: Wbfiles) -> None:
        assert wbfiles("get", f"{PROJECT}/", "--layout", "{entity}/{project}-{run}", "--include", "*.yaml").code == 0
        assert fetched(Path()).keys() == {f"lab/vision-{run}/config.yaml" for run in STATES}

    def test_names_match_in_every_run(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(f"{PROJECT}/second", "odd[1].txt", b"odd")
        ending = wbfiles("get", f"{PROJECT}/", "odd[1].txt", "media/table.json")
        assert ending.code == 0
        expected = {name: data for name, data in FILES.items() if name.endswith("table.json")}
        assert fetched(Path()) == expected | {"second/odd[1].txt": b"odd"}

    def test_names_missing_from_every_run_are_reported(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("get", f"{PROJECT}/", "config.yaml", "missing.txt")
        assert ending.code == 1
        assert "No run of the project lab/vision has a file 'missing.txt'." in ending.err
        assert len(fetched(Path())) == 3
        assert wbfiles("get", f"{PROJECT}/", "missing.txt").code == 4

    def test_json_includes_the_run(self, wbfiles: Wbfiles) -> None:
        *results, last = wbfiles("get", f"{PROJECT}/", "--json").objects
        assert {f"{each['run']}/{each['name']}" for each in results} == {f"{PROJECT}/{name}" for name in FILES}
        assert last["summary"]["downloaded"] == 9

    def test_failed_file_is_reported_with_its_run(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(f"{PROJECT}/second", ".wbfiles-state", b"x")
        ending = wbfiles("get", f"{PROJECT}/")
        assert ending.code == 1
        assert "second/.wbfiles-state: the remote file '.wbfiles-state' cannot be written as it is named" in ending.err
        assert fetched(Path()) == FILES

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["lab/vision/first", "--layout", "{run}"], "lab/vision/first is a run"),
            (["lab/vision/", "--layout", "{name}"], "unknown field"),
            (["lab/vision/", "--pattern", "%.json"], "lab/vision/ is a project"),
            (["lab/vision/", "--filters", "{"], "it is not JSON"),
            (["lab/vision/", "--filters", "[]"], "it is not a JSON object"),
            (["lab/vision/first", "--filters", "{}"], "names no project"),
        ],
    )
    def test_contradictory_options_are_usage_errors(self, wbfiles: Wbfiles, arguments: list[str], message: str) -> None:
        ending = wbfiles("get", *arguments)
        assert ending.code == 2
        assert message in ending.err
        assert not fetched(Path())

    @pytest.mark.parametrize("command", ["ls", "get"])
    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("lab/missing/", "project lab/missing not found"),
            ("lab/missing", "neither a run (project/run_id) nor a project"),
        ],
    )
    def test_missing_project_is_exit_code_4(self, wbfiles: Wbfiles, command: str, path: str, message: str) -> None:
        ending = wbfiles(command, path)
        assert (ending.code, ending.out) == (4, "")
        assert message in ending.err


class TestShards:
    def test_shards_cover_the_project(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        for number in range(20):
            wandb_server.add_file(f"{PROJECT}/run{number}", "a.txt", b"x")
        written: list[set[str]] = []
        for number in range(3):
            ending = wbfiles("get", f"{PROJECT}/", "--shard", f"{number}/3", "-o", f"data{number}", "--json")
            assert ending.code == 0
            written.append({*fetched(Path(f"data{number}"))})
        assert sum(map(len, written)) == 29
        assert set.union(*written) == {*FILES} | {f"run{number}/a.txt" for number in range(20)}

    def test_empty_shard_succeeds(self, wbfiles: Wbfiles) -> None:
        endings = [wbfiles("get", f"{PROJECT}/", "config.yaml", "--shard", f"{n}/40", "-o", "data") for n in range(40)]
        assert {ending.code for ending in endings} == {0}
        assert len(fetched(Path("data"))) == 3
        assert any("No files in this shard." in ending.err for ending in endings)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([f"{PROJECT}/", "--shard", "3/3"], "is not a shard I/N"),
            ([f"{PROJECT}/first", "--shard", "0/3"], "--shard is for projects"),
            ([f"{PROJECT}/first", "--run", f"{PROJECT}/second", "--shard", "0/3"], "--shard is for projects"),
        ],
    )
    def test_invalid_shard_is_a_usage_error(self, wbfiles: Wbfiles, arguments: list[str], message: str) -> None:
        ending = wbfiles("get", *arguments)
        assert (ending.code, ending.out) == (2, "")
        assert message in ending.err


class TestLs:
    def test_runs_are_tab_separated(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("ls", PROJECT)
        assert ending.code == 0
        assert ending.lines == [
            "third\tThe third\tfailed\t2026-01-01",
            "first\tThe first\tfinished\t2026-01-02",
            "second\tThe second\trunning\t2026-01-03",
        ]

    def test_json_is_one_object_per_run(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("ls", PROJECT, "--json", "--filters", '{"state": "failed"}')
        assert ending.objects == [
            {
                "path": "lab/vision/third",
                "id": "third",
                "name": "The third",
                "state": "failed",
                "created_at": "2026-01-01",
            }
        ]

    def test_terminal_gets_a_table(self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        ending = wbfiles("ls", PROJECT)
        heading, *rows = ending.lines
        assert heading.split() == ["Run", "Name", "State", "Created"]
        assert [row.split()[:4] for row in rows] == [[run, "The", run, state] for run, state in STATES.items()]
        assert "3 runs" in ending.err

    def test_project_without_runs_says_so(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        (wandb_server.root / "lab" / "empty").mkdir()
        ending = wbfiles("ls", "lab/empty/")
        assert (ending.code, ending.out, ending.err) == (0, "", "No runs.\n")

    def test_file_selection_lists_files_of_all_runs(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.clear_requests()
        ending = wbfiles("ls", f"{PROJECT}/", "--include", "*.json", "--exclude", "media/")
        assert ending.code == 0
        assert operations(wandb_server) == {"Runs": 1}
        assert {line.split("\t")[0] for line in ending.lines} == {f"{run}/wandb-summary.json" for run in STATES}
        assert {line.split("\t")[1] for line in wbfiles("ls", PROJECT, "config.yaml").lines} == {"20", "21"}

    def test_json_includes_the_run(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("ls", f"{PROJECT}/", "config.yaml", "--filters", '{"state": "failed"}', "--json")
        (described,) = ending.objects
        assert (described["run"], described["name"]) == (f"{PROJECT}/third", "config.yaml")
        assert described["md5"]

    def test_files_of_runs_with_many_are_all_listed(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        for number in range(25):  # more than are listed with a run
            wandb_server.add_file(f"{PROJECT}/second", f"logs/{number}.txt", b"x")
        ending = wbfiles("ls", f"{PROJECT}/", "--include", "*.txt", "--include", "*.yaml", "--sort", "name")
        names = [line.split("\t")[0] for line in ending.lines]
        assert len(names) == 28
        assert names == sorted(names)

    def test_all_files_of_all_runs_are_listed_on_request(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.clear_requests()
        ending = wbfiles("ls", f"{PROJECT}/", "--files")
        assert operations(wandb_server) == {"Runs": 1}
        assert [line.split("\t")[0] for line in ending.lines] == [
            f"{run}/{name}" for run in STATES for name in sorted({name.partition("/")[2] for name in FILES})
        ]

    def test_names_missing_from_every_run_are_reported(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("ls", f"{PROJECT}/", "missing.txt")
        assert (ending.code, ending.out) == (4, "")
        assert "No run of the project lab/vision has a file 'missing.txt'." in ending.err

    def test_sql_pattern_is_a_usage_error(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("ls", f"{PROJECT}/", "--pattern", "%")
        assert (ending.code, ending.out) == (2, "")
        assert "use --include" in ending.err

    def test_runs_can_be_sorted(self, wbfiles: Wbfiles) -> None:
        def runs(sort: str) -> list[str]:
            return [line.split("\t")[0] for line in wbfiles("ls", PROJECT, "--sort", sort).lines]

        assert runs("name") == ["first", "second", "third"]
        assert runs("updated") == ["second", "first", "third"]
        ending = wbfiles("ls", PROJECT, "--sort", "size")
        assert ending.code == 2
        assert "wbfiles du" in ending.err


class TestDu:
    def rows(self, ending: Ending) -> list[tuple[str, ...]]:
        assert (ending.code, ending.err) == (0, "")
        return [tuple(line.split("\t")[1:]) for line in ending.lines]

    def test_sums_up_by_run_in_one_request_for_many_runs(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(f"{PROJECT}/second", "model.bin", bytes(1000))
        wandb_server.clear_requests()
        ending = wbfiles("du", f"{PROJECT}/")
        assert operations(wandb_server) == {"Runs": 1}
        assert self.rows(ending) == [("4", "second"), ("3", "first"), ("3", "third"), ("10", ".")]
        assert ending.lines[0].startswith("107")
        assert wbfiles("du", f"{PROJECT}/", "--by", "run").lines == ending.lines

    def test_sums_up_the_folders_of_all_runs_together(self, wbfiles: Wbfiles) -> None:
        assert self.rows(wbfiles("du", f"{PROJECT}/", "--by", "folder")) == [("3", "media"), ("9", ".")]

    def test_sums_up_by_pattern(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles(
            "du", f"{PROJECT}/", "--by", "pattern", *("--include", "*.json", "--include", "media/"), "--json"
        )
        assert [(row["pattern"], row["files"]) for row in ending.objects] == [("*.json", 6), ("media/*", 3), (".", 6)]

    def test_without_patterns_extensions_are_the_patterns(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        for name in ("README", ".hidden", "a.b/odd", "end."):
            wandb_server.add_file(f"{PROJECT}/second", name, b"x")
        ending = wbfiles("du", f"{PROJECT}/", "--by", "pattern")
        assert self.rows(ending) == [("6", "*.json"), ("3", "*.yaml"), ("13", ".")]
        one = wbfiles("du", f"{PROJECT}/second", "--by", "pattern")
        assert self.rows(one) == [("2", "*.json"), ("1", "*.yaml"), ("7", ".")]

    def test_run_has_no_runs_to_sum_up_by(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("du", f"{PROJECT}/second", "--by", "run")
        assert (ending.code, ending.out) == (2, "")
        assert "--by run is for projects" in ending.err
