"""Checks that must pass before a change is merged: ``nox`` runs all, ``nox -s tests`` one of them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False  # nox lists the sessions that it skips

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ("3.11", "3.12", "3.13")
PROCESSES = ("sync/test_parity", "sync/test_lifecycle", "sync/test_uvloop", "cli/test_processes", "test_threads")
"""Tests that depend on the interpreter and its event loop: threads, signals, forks, exit."""
WITH_UVLOOP = ("sync/test_uvloop", "sync/test_lifecycle", "cli/test_processes")
"""Tests of the code that uses uvloop if installed: the blocking objects and the command line."""

PORTABLE = (
    *("tests/disk", "tests/download", "tests/upload", "tests/cli/test_processes.py", "tests/sync/test_lifecycle.py"),
    *(f"tests/test_{name}.py" for name in ("bad_input", "cancellation", "killed", "machines")),
)
"""Tests of differences between systems; ``tests/test_other_systems.py`` runs a few of them in each test run."""


def works(python: str) -> bool:
    """Return whether an interpreter runs; pyenv has shims for inactive versions, too."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def find_python(version: str) -> str | None:
    """Return a working interpreter of this version, from ``PATH`` or pyenv; on Windows from its launcher."""
    if sys.platform == "win32":
        asked = ["py", f"-{version}", "-c", "import sys; print(sys.executable)"]
        found = subprocess.run(asked, capture_output=True, text=True, check=False) if shutil.which("py") else None
        if found is not None and found.returncode == 0:
            return found.stdout.strip()
        return sys.executable if sys.version.startswith(f"{version}.") else None
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    in_path = shutil.which(f"python{version}")
    of_pyenv = map(str, sorted(root.glob(f"versions/{version}.*/bin/python{version}"), reverse=True))
    return next((python for python in [*([in_path] if in_path else []), *of_pyenv] if works(python)), None)


FOUND = {version: python for version in PYTHONS if (python := find_python(version))}
OLDEST, NEWEST = next(iter(FOUND), None), next(reversed(FOUND), None)
# Tests start hundreds of interpreters, which should not compile their imports again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# nox looks interpreters up in PATH.
os.environ["PATH"] = os.pathsep.join([*(str(Path(python).parent) for python in FOUND.values()), os.environ["PATH"]])


def install(session: nox.Session, group: str) -> None:
    """Install the package as users do, with all extras, and one group of tools.

    Without byte-compiling, which takes a third of the time, although few of the modules are imported.
    """
    session.install("--no-compile", ".[cli,fsspec,server]", *nox.project.dependency_groups(PROJECT, group))


XDIST = ("-n", str((os.cpu_count() or 1) * 3 // 2), "--dist", "worksteal")
"""More workers than processors, since tests wait for a third of their time; idle ones take over tests of others."""


def paths(names: Iterable[str]) -> list[str]:
    """Return the paths of test modules."""
    return [f"tests/{name}.py" for name in names]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and mistakes that static analysis finds."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types, with both type checkers, for the package also as on macOS and Windows."""
    install(session, "types")
    other = [
        ("mypy", "--platform", platform, "--cache-dir", f".mypy_cache/{platform}", "wbfiles_async")
        for platform in ("darwin", "win32")
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda command: session.run(*command), [("pyright",), ("mypy",), *other]))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests on the oldest installed Python, and the tests of processes on the others.

    Then a smoke run of the benchmarks on the oldest, and the tests with uvloop on the newest, since each
    installation takes long. Arguments go to pytest, on each version: ``nox -s tests -- FILE``, or
    ``nox -s tests-3.13 -- FILE``.
    """
    install(session, "test" if session.posargs or session.python == OLDEST else "processes")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    if session.python == OLDEST:
        session.run("pytest", *XDIST)
        if sys.platform != "win32":  # the servers of the benchmarks need POSIX
            session.run("python", "-m", "benchmarks", "--smoke")
            session.run("python", "-m", "docs.latency", "--smoke")
    else:
        session.run("pytest", *XDIST, *paths(PROCESSES))
    if session.python == NEWEST and sys.platform != "win32":
        session.install("uvloop")
        session.run("pytest", *XDIST, *paths(WITH_UVLOOP))


@nox.session
def tests_portable(session: nox.Session) -> None:
    """Tests of files and processes as on Windows, and of files as on macOS, both simulated on Linux."""
    if sys.platform != "linux":
        session.skip("only Linux can simulate the other systems")
    install(session, "test")
    folder = str(Path("tests", "other_systems").resolve())
    for system, chosen in (("win32", PORTABLE), ("darwin", PORTABLE[:3])):
        environment = {"PYTHONPATH": folder, "WBFILES_TESTS_SYSTEM": system}
        session.run("pytest", *(session.posargs or [*XDIST, *chosen]), env=environment)


@nox.session
def faults(session: nox.Session) -> None:
    """The tests of faults, every case over every transport, and their table: writes docs/faults.md."""
    install(session, "test")
    session.run("python", "tests/fault_table.py", *session.posargs, "--", "--all-transports")


@nox.session
def differential(session: nox.Session) -> None:
    """``wandb`` and this package with the same faults: prints the table of docs/pages/explanation/compared.md."""
    install(session, "test")
    session.run("python", "tests/differential.py")


@nox.session
def ecosystem(session: nox.Session) -> None:
    """Test suites of fsspec, zarr, pyarrow and universal_pathlib over the file system ``wandb://``.

    And examples of its use. Arguments go to pytest.
    """
    install(session, "ecosystem")
    sources = Path(session.create_tmp())
    version = "from importlib.metadata import version; print(version('universal_pathlib'))"
    wanted = f"universal_pathlib=={str(session.run('python', '-c', version, silent=True)).strip()}"
    session.run(
        *("python", "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"),
        *("--dest", str(sources), wanted),
    )
    archive = sources / f"{wanted.replace('==', '-')}.tar.gz"
    session.run("python", "-m", "tarfile", "-e", str(archive), str(sources))
    session.env["UPATH_SOURCE"] = str(sources / archive.name.removesuffix(".tar.gz"))
    session.run("pytest", *XDIST, *(session.posargs or ["tests/ecosystem", "tests/test_docs.py"]))


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, with its links checked: build/docs/site."""
    session.install("--no-compile", ".[cli]", *nox.project.dependency_groups(PROJECT, "docs"))
    session.run("python", "docs/site.py")
    session.run("zensical", "build", "-f", "build/docs/zensical.toml", "--strict")


@nox.session
def man(session: nox.Session) -> None:
    """The manual pages of the command line: build/man."""
    session.install("--no-compile", ".[cli]", *nox.project.dependency_groups(PROJECT, "docs"))
    session.run("python", "docs/man.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Thousands of random programs of faults, then kills at random steps; arguments go to ``python -m soak``."""
    install(session, "test")
    session.chdir("tests")
    session.run("python", "-m", "soak", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "soak.kills", "--kills", "200")


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks; arguments go to ``python -m benchmarks``."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def picture(session: nox.Session) -> None:
    """The picture in the README, from a real run."""
    install(session, "picture")
    session.run("python", "docs/picture.py")


@nox.session
def latency(session: nox.Session) -> None:
    """The picture of near and distant stores, in about ten minutes. Arguments go to ``python -m docs.latency``."""
    install(session, "bench")
    session.run("python", "-m", "docs.latency", *session.posargs)


@nox.session
def screens(session: nox.Session) -> None:
    """Pictures of the terminal and of a notebook in a browser (chromium), from real runs: writes docs/screens."""
    install(session, "screens")
    session.run("python", "docs/screens.py", *session.posargs)
