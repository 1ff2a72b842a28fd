"""Makes docs/screens, pictures of the terminal and a notebook: ``nox -s screens``.

The command line runs on a pseudo-terminal of 80 columns, against a server on this machine, and is drawn as SVG. A
notebook runs in Jupyter and a headless browser, which takes screenshots. Only the moments are chosen.

Arguments: the names of screens; without any, all are made.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyte
from drawing import drawn, lines_of, played, prompt
from playwright.sync_api import Page, sync_playwright
from rich.text import Text

import wbfiles_async
from wbfiles_async._models import RunPath
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._records import RunRecord, RunState

FOLDER = Path(__file__).with_name("screens")
ENTITY, NAME = "lab", "vision"
PROJECT = f"{ENTITY}/{NAME}"
RUNS: Mapping[str, tuple[str, RunState]] = {
    "1a2b3c4d": ("resnet, lr 0.1", "finished"),
    "5e6f7a8b": ("resnet, lr 0.01", "finished"),
    "9c0d1e2f": ("vit, warm-up of 500 steps", "crashed"),
}
RUN = f"{PROJECT}/1a2b3c4d"
LARGE_BYTES = 24 << 20
WIDTH = 800
SECONDS = 60_000  # ms

Lines = list[Text]


@contextmanager
def served() -> Iterator[LocalServer]:
    """Serve a project of three runs."""
    with tempfile.TemporaryDirectory() as folder, LocalServer(folder) as server:
        for day, (run, (name, state)) in enumerate(RUNS.items(), start=3):
            for file, data in _files(day):
                server.add_file(f"{PROJECT}/{run}", file, data)
            created = f"2026-11-0{day}T09:30:00"
            record = RunRecord(display_name=name, state=state, created_at=created, heartbeat_at=created)
            server._records.change(RunPath(ENTITY, NAME, run), partial(_keep, record))
        yield server


def _keep(record: RunRecord, _: RunRecord | None) -> RunRecord:
    return record


def _files(seed: int) -> Iterator[tuple[str, bytes]]:
    made = random.Random(seed)
    yield "checkpoints/last.ckpt", made.randbytes(LARGE_BYTES)
    yield "checkpoints/best.ckpt", made.randbytes(LARGE_BYTES // 2)
    yield "config.yaml", b"learning_rate: 0.1\n"
    for step in range(12):
        yield f"media/images/loss: validation_{step:04}.png", made.randbytes(4000)
    yield "output.log", b"epoch done\n" * 400
    yield "wandb-summary.json", b'{"loss": 0.25}'


def _half_way(share: float, seen: list[tuple[float, Lines]], screen: pyte.Screen, _: int) -> None:
    """Keep the picture closest to this share."""
    lines = lines_of(screen)
    if (done := _share(lines)) is not None:
        seen.append((abs(done - share), lines))


def _share(lines: Lines) -> float | None:
    text = "\n".join(line.plain for line in lines)
    found = re.search(r"files?, ([0-9.]+)(?: [KM]iB)? of ([0-9.]+) MiB", text)
    return float(found[1]) / float(found[2]) if found and "KiB of" not in text.partition("\n  ")[0] else None


def _known(server: LocalServer) -> dict[str, str]:
    return {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key}


def _typed(server: LocalServer, folder: str, *arguments: str, **watching: Callable[[pyte.Screen, int], None]) -> Lines:
    """Run ``wbfiles`` on a terminal; return its prompt line and the final screen."""
    command = [sys.executable, "-m", "wbfiles_async", *arguments]
    screen, _ = played(command, folder, watching.get("watch"), _known(server))
    shown = " ".join(word if re.fullmatch(r"[\w./:@=-]+", word) else f"'{word}'" for word in arguments)
    return [prompt(f"wbfiles {shown}"), *lines_of(screen)]


def terminal_project(server: LocalServer, folder: str) -> Lines:
    """A project, half way and done."""
    seen: list[tuple[float, Lines]] = []
    end = _typed(server, folder, "get", f"{PROJECT}/", "-o", "data", "--limit-rate", "20M",
                 watch=partial(_half_way, 0.5, seen))  # fmt: skip
    _, moment = min(seen, key=lambda one: one[0])
    return [end[0], *moment, Text(), *end[1:]]


def terminal_failure(server: LocalServer, folder: str) -> Lines:
    """Files that cannot be written or have wrong bytes, and a missing run."""
    for name in ("config.yaml", "output.log"):
        (Path(folder) / "data" / name / "in the way").mkdir(parents=True)
    lines = _typed(server, folder, "get", RUN, "-o", "data", "--exclude", "*.ckpt")
    lines += [Text(), *_typed(server, folder, "get", f"{PROJECT}/missing")]
    lines += [Text(), *_typed(server, folder, "cat", RUN, "conf.yaml")]
    return [*lines, Text(), *_typed(server, folder, "ls", RUN, "--base-url", "http://127.0.0.1:9", "--retries", "2")]


def terminal_outage(_: LocalServer, folder: str) -> Lines:
    """The server goes away in the middle of a project."""
    with served() as server:

        def close(screen: pyte.Screen, _: int) -> None:
            if (_share(lines_of(screen)) or 0) > 0.3:
                server.close()

        return _typed(server, folder, "get", f"{PROJECT}/", "-o", "data", "--limit-rate", "20M", "--retries", "1",
                      watch=close)  # fmt: skip


def terminal_interrupt(server: LocalServer, folder: str) -> Lines:
    """Ctrl-C half way, and the same command again."""
    pressed = list[bool]()

    def press(screen: pyte.Screen, keys: int) -> None:
        if not pressed and (_share(lines_of(screen)) or 0) > 0.5:
            pressed.append(True)
            os.write(keys, b"\x03")

    arguments = ("get", RUN, "-o", "data", "--limit-rate", "20M")
    return [*_typed(server, folder, *arguments, watch=press), Text(), *_typed(server, folder, *arguments)]


def terminal_tables(server: LocalServer, folder: str) -> Lines:
    """Runs, files, and sizes."""
    lines = _typed(server, folder, "ls", f"{PROJECT}/")
    lines += [Text(), *_typed(server, folder, "ls", RUN, "--sort", "size", "--exclude", "*00[0-9][2-9].png")]
    return [*lines, Text(), *_typed(server, folder, "du", RUN, "--depth", "2")]


TERMINAL = {
    "project": terminal_project,
    "failure": terminal_failure,
    "outage": terminal_outage,
    "interrupt": terminal_interrupt,
    "tables": terminal_tables,
}

CELLS = {
    "tables": f"""\
from wbfiles_async import Api, TransferOptions

api = Api(options=TransferOptions(limit_rate=20 << 20))
runs = api.runs("{PROJECT}")
runs.to_list()
runs""",
    "files": """\
run = runs[0]
files = run.files(pattern="%.ckpt")
files.to_list()
files""",
    "file": "files[0]",
    "project": """\
runs.download("data", progress=True)""",
    "failure": """\
run.file("conf.yaml")""",
    "report": """\
import os
os.makedirs("other/config.yaml/in the way", exist_ok=True)
run.download("other", exclude=["*.ckpt"], raise_on_error=False)""",
    "interrupt": """\
run.download("third", progress=True)""",
}


def notebook(server: LocalServer, wanted: set[str]) -> None:
    """Run the cells in Jupyter, and take screenshots."""
    cells: list[dict[str, object]] = [
        {"cell_type": "code", "id": name, "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for name, source in CELLS.items()
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "screens.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "notebook", "--no-browser", "--allow-root", "--IdentityProvider.token="]
        command += [f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}"]
        # Tracebacks show paths, and those below the home folder as ~.
        shutil.copytree(Path(wbfiles_async.__file__).parent, f"{folder}/lib/wbfiles_async")
        environ = os.environ | _known(server) | {"HOME": folder, "PYTHONPATH": f"{folder}/lib"}
        log = Path(folder) / "log"
        with log.open("wb") as output:
            jupyter = subprocess.Popen(command, cwd=folder, env=environ, stdout=output, stderr=output)
        try:
            with sync_playwright() as playwright:
                found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
                browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": WIDTH, "height": 2600})
                _open(page, f"http://127.0.0.1:{port}/notebooks/screens.ipynb")
                _play(page, wanted)
                browser.close()
        finally:
            jupyter.terminate()
            jupyter.wait()


def _open(page: Page, url: str) -> None:
    for _ in range(100):
        try:
            page.goto(url)
            break
        except Exception:  # it is not listening yet
            time.sleep(0.3)
    page.wait_for_selector(".jp-CodeCell", timeout=SECONDS)
    page.add_style_tag(content=".jp-cell-toolbar, .jp-Notebook-footer { display: none }")


def _play(page: Page, wanted: set[str]) -> None:
    cells = {name: page.locator(".jp-CodeCell").nth(number) for number, name in enumerate(CELLS)}

    def begin(name: str) -> None:
        while cells[name].locator(".jp-InputPrompt").inner_text().strip() == "[ ]:":  # until the kernel listens
            cells[name].locator(".cm-content").click()
            page.keyboard.press("Control+Enter")
            page.wait_for_timeout(300)

    def end(name: str) -> None:
        cells[name].locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[\d+\]")).wait_for(timeout=SECONDS)
        page.wait_for_timeout(500)

    def wait_for_half(name: str) -> None:
        page.wait_for_function(
            "cell => [...cell.querySelectorAll('progress')].some(bar => bar.value > 0.5)",
            arg=cells[name].element_handle(),
            timeout=SECONDS,
        )

    def photograph(name: str, *which: str) -> None:
        if name in wanted:
            boxes = [box for each in which if (box := cells[each].bounding_box()) is not None]
            top, bottom = min(box["y"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
            clip = {"x": 0.0, "y": top, "width": float(WIDTH), "height": bottom - top}
            page.screenshot(path=FOLDER / f"notebook-{name}.png", clip=clip)  # type: ignore[arg-type]

    for name in ("tables", "files", "file"):
        begin(name)
        end(name)
    photograph("tables", "tables", "files", "file")
    begin("project")
    wait_for_half("project")
    photograph("project-half-way", "project")
    end("project")
    photograph("project", "project")
    for name in ("failure", "report"):
        begin(name)
        end(name)
    photograph("failure", "failure", "report")
    begin("interrupt")
    wait_for_half("interrupt")
    cells["interrupt"].locator(".cm-content").press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("i")
    end("interrupt")
    photograph("interrupt", "interrupt")


NOTEBOOK = ("tables", "project-half-way", "project", "failure", "interrupt")


def main() -> None:
    """Make the screens."""
    wanted = set(sys.argv[1:]) or {*TERMINAL, *(f"notebook-{name}" for name in NOTEBOOK)}
    FOLDER.mkdir(exist_ok=True)
    with served() as server:
        for name, play in TERMINAL.items():
            if name in wanted:
                with tempfile.TemporaryDirectory() as folder:
                    svg = drawn(play(server, folder), "wbfiles")
                    (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")
        if of_notebook := {name.removeprefix("notebook-") for name in wanted if name.startswith("notebook-")}:
            notebook(server, of_notebook)
    for path in sorted(FOLDER.iterdir()):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
