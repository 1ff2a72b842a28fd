"""What is checked before anything lands: ``nox`` runs it all, ``nox -s tests`` one part."""

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "types", "tests", "tests_uvloop", "bench_smoke"]
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, group: str) -> None:
    """Install the package as users get it, with all extras, and one group of tools."""
    session.install(".[cli,server]", *nox.project.dependency_groups(PROJECT, group))


@nox.session
def lint(session: nox.Session) -> None:
    """Style and the mistakes that a reader of the text alone can find."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types, by both checkers."""
    install(session, "types")
    session.run("mypy")
    session.run("pyright")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests; arguments go to pytest."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def tests_uvloop(session: nox.Session) -> None:
    """The tests of what uses uvloop where it is installed: the blocking objects and the command line."""
    install(session, "test")
    session.install("uvloop")
    # The life-cycle tests are not among them: in a forked child uvloop warns of the parent's connections.
    session.run("pytest", *(f"tests/test_{name}.py" for name in ("uvloop", "cli_processes", "readme")))


@nox.session
def faults(session: nox.Session) -> None:
    """The tests that make things go wrong, and their table: writes docs/faults.md."""
    install(session, "test")
    session.run("python", "tests/fault_table.py", *session.posargs)


@nox.session
def differential(session: nox.Session) -> None:
    """What ``wandb`` and we do about the same faults: prints the README's table."""
    install(session, "test")
    session.run("python", "tests/differential.py")


@nox.session
def soak(session: nox.Session) -> None:
    """Thousands of random programs of faults, then kills at random steps; arguments go to ``python -m soak``."""
    install(session, "test")
    session.chdir("tests")
    session.run("python", "-m", "soak", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "soak.kills", "--kills", "200")


@nox.session
def bench_smoke(session: nox.Session) -> None:
    """Whether the benchmarks work: everything tiny and once, right results demanded."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", "--smoke")


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, side by side with peers; arguments go to ``python -m benchmarks``."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def picture(session: nox.Session) -> None:
    """The picture of the README, from a real run."""
    install(session, "picture")
    session.run("python", "docs/picture.py")
