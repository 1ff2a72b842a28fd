"""Runs each block of code in the documentation."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from s3 import MISSING, S3
from s3 import s3 as s3
from s3 import s3_origin as s3_origin
from test_docstrings import CLASSES, METHODS
from test_readme import FILES, RUN

from wbfiles_async import Api, AsyncApi, errors
from wbfiles_async._cli import main
from wbfiles_async.testing import LocalServer

DOCS = Path(__file__).parent.parent / "docs"
PAGES = DOCS / "pages"
ELSEWHERE = {
    *("contributing.md", "changelog.md", "reference/command-line.md"),
    *("explanation/faults.md", "explanation/benchmarks.md"),
}
"""Pages that docs/site.py writes or copies."""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@attrs.frozen
class Block:
    """A block of code on a page.

    Attributes:
        page: The page's name.
        line: Where it begins.
        language: Of the code.
        code: The code.
    """

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def found_blocks() -> Iterator[Block]:
    for path in sorted(PAGES.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(path.relative_to(PAGES).as_posix(), line, match[1], match[2])


BLOCKS = [block for block in found_blocks() if not block.code.startswith("# include: ")]


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


@pytest.fixture
def environment(
    wandb_server: LocalServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The run that the pages use, in the environment; the current folder has the files to upload."""
    for name, data in FILES.items():
        wandb_server.add_file(RUN, name, data)
    found = {"WANDB_BASE_URL": wandb_server.base_url, "WANDB_API_KEY": wandb_server.api_key}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.pt").write_bytes(bytes(1000))
    return os.environ | found


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """Restores the library's log level, which a page sets: all messages are searched for secrets."""
    logger = logging.getLogger("wbfiles_async")
    before = logger.level
    yield
    logger.setLevel(before)


def missing_modules(code: str) -> list[str]:
    """Return the modules that a block imports and that are not installed."""
    names = [
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    if "_parquet" in code:
        names.append("pyarrow")  # which pandas needs
    return [name for name in names if importlib.util.find_spec(name.partition(".")[0]) is None]


def with_bucket(block: Block, environment: dict[str, str], request: pytest.FixtureRequest) -> Block:
    """Replace the bucket of a block, if it has one, by one of a server on this machine."""
    if "s3://my-bucket" not in block.code:
        return block
    if MISSING:
        pytest.skip(f"{MISSING[0]} is not installed")
    bucket: S3 = request.getfixturevalue("s3")
    environment.update(bucket.environment)
    return attrs.evolve(block, code=block.code.replace("s3://my-bucket", bucket.url()))


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_of_a_page_runs(
    block: Block, environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    block = with_bucket(block, environment, request)
    if missing := missing_modules(block.code):
        pytest.skip(f"{missing[0]} is not installed")
    if "def test_" in block.code:
        (tmp_path / "test_block.py").write_text(block.code, encoding="utf-8")
        run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], environment)
        return
    code = compile(block.code, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, {"__name__": "block"})  # an awaitable if the block awaits something
    if inspect.isawaitable(result):
        asyncio.run(awaited(result))


async def awaited(result: object) -> None:
    assert inspect.isawaitable(result)
    await result


def found_examples() -> Iterator[Block]:
    for name, documented in (CLASSES | METHODS).items():
        text = re.sub(r"^    ", "", inspect.getdoc(documented) or "", flags=re.MULTILINE)
        for match in _BLOCK.finditer(text):
            yield Block(name, 0, match[1], match[2])


@pytest.mark.parametrize("block", list(found_examples()), ids=lambda block: block.page)
def test_example_of_a_docstring_runs(block: Block, environment: dict[str, str], wandb_server: LocalServer) -> None:
    if missing := missing_modules(block.code):
        pytest.skip(f"{missing[0]} is not installed")
    code = compile(block.code, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if not block.page.startswith("Async"):
        with Api() as api:
            eval(code, {"__name__": "block", "api": api})
        return

    async def run_example() -> None:
        async with AsyncApi() as api:
            result = eval(code, {"__name__": "block", "api": api})
            if inspect.isawaitable(result):
                await result

    asyncio.run(run_example())


@pytest.mark.parametrize("block", of("console"), ids=str)
def test_commands_of_a_page_work(
    block: Block, environment: dict[str, str], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, except for those with a bucket, which need the environment."""
    has_bucket = "s3://" in block.code
    block = with_bucket(block, environment, request)
    for line in block.code.splitlines():
        words = shlex.split(line)
        if words[0] == "wbfiles" and has_bucket:
            run([sys.executable, "-m", "wbfiles_async", *words[1:]], environment)
        elif words[0] == "wbfiles":
            assert main(words[1:]) == 0, capsys.readouterr()
        else:
            assert words[:4] == ["python", "-m", "pip", "install"]  # what CI does


def run(arguments: list[str], environment: dict[str, str]) -> str:
    child = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert child.returncode == 0, child.stdout + child.stderr
    return child.stdout


COMMANDS_OF_SCHEMAS = {
    f"ls {RUN}": "`ls RUN`, `ls PROJECT/ --files`",
    "ls my-team/my-project/ --files": "`ls RUN`, `ls PROJECT/ --files`",
    "ls my-team/my-project/": "`ls PROJECT/`",
    f"get {RUN} --manifest manifest.jsonl": "`get`",
    f"put {RUN} out": "`put`",
    f"rm {RUN} --all --dry-run": "`rm`",
    "rm my-team/my-project/ --include * --dry-run --yes": "`rm`",
    f"du {RUN}": "`du`",
    f"du {RUN} --by pattern": "`du`",
}


@pytest.mark.parametrize("command", COMMANDS_OF_SCHEMAS)
def test_keys_of_the_output_are_those_of_its_page(command: str, environment: dict[str, str]) -> None:
    page = (PAGES / "reference" / "output.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (`.*?) \| (`.*) \|$", page, re.MULTILINE))
    documented = set(re.findall(r"`(\w+)`", rows[COMMANDS_OF_SCHEMAS[command]]))
    written = run([sys.executable, "-m", "wbfiles_async", *command.split(), "--json"], environment)
    *objects, last = map(json.loads, written.splitlines())
    if "summary" not in last:
        objects.append(last)
    optional = {"run"} if "ls" in command or "rm" in command else {"folder", "pattern"} & documented
    for each in objects:
        assert documented - optional <= each.keys() <= documented
    manifest = Path("manifest.jsonl")
    if manifest.exists():
        row = next(row for row in rows if "manifest" in row)
        assert {*json.loads(manifest.read_text().splitlines()[0])} == set(re.findall(r"`(\w+)`", rows[row]))


def test_every_block_has_a_language() -> None:
    assert {block.language for block in BLOCKS} <= {"python", "console", "shell", "text"}


def nav_pages(entry: object) -> Iterator[str]:
    match entry:
        case str():
            yield entry
        case dict():
            for value in entry.values():
                yield from nav_pages(value)
        case list():
            for value in entry:
                yield from nav_pages(value)


def test_every_page_is_in_the_navigation() -> None:
    nav = tomllib.loads((DOCS / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    written = {path.relative_to(PAGES).as_posix() for path in PAGES.rglob("*.md")}
    assert set(nav_pages(nav)) == written | ELSEWHERE


def test_every_error_is_on_its_page() -> None:
    text = (PAGES / "reference" / "errors.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    assert named == set(errors.__all__) - {"WBFilesError"}
