"""The checks on every Python that is here, each in an environment of its own: `nox`, `nox -s tests-3.13`.

`scripts/test` checks everything on one Python; this checks the same package, as a wheel, on the others.
"""

from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
POSITIVE = [str(path) for path in sorted(Path("tests/typing").glob("*_positive.py"))]

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests"]


def install(session: nox.Session, *what: str) -> None:
    """Install with the versions of dev.lock."""
    session.install("--upgrade", "pip>=25.1")
    session.install("--constraint", "dev.lock", *what)


@nox.session(python=[*PYTHONS, "3.14t"])
def tests(session: nox.Session) -> None:
    """Run the tests on the built wheel."""
    install(session, ".[server,moving]", "--group", "test", "--group", "typing")
    session.run("pytest", "-n", "2", "--ignore=tests/chaos", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies that pyproject.toml allows."""
    session.install("--upgrade", "pip>=25.1", "uv")
    requirements = Path(session.create_tmp()) / "lowest.txt"
    session.run(
        "uv", "pip", "compile", "--quiet", "--resolution", "lowest-direct",
        "pyproject.toml", "--all-extras", "--output-file", str(requirements),
    )  # fmt: skip
    session.install("--requirement", str(requirements), "--group", "test", "--group", "typing")
    session.install("--no-deps", ".")
    session.run("pytest", "-n", "2", "--ignore=tests/chaos", *session.posargs)


@nox.session
def pyrefly(session: nox.Session) -> None:
    """Check the correct half of the typing corpus with pyrefly."""
    install(session, ".[server]", "--group", "test", "pyrefly")
    session.run("pyrefly", "check", "--preset", "strict", *POSITIVE)


@nox.session
def ty(session: nox.Session) -> None:
    """Check the correct half of the typing corpus with ty, which does not understand all of it yet."""
    install(session, ".[server]", "--group", "test", "ty")
    session.run("ty", "check", *POSITIVE, success_codes=[0, 1])
