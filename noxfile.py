"""The checks of the project: ``nox`` makes an environment for each, ``nox --no-venv`` takes the one that is active.

``nox -s lint package types test docs``; ``-- FOLDER`` says where ``package`` leaves its files and ``types`` finds the wheel.
"""

import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2026.4"
nox.options.sessions = ["lint", "package", "types", "test", "docs"]

ROOT = Path(__file__).resolve().parent
SHIPPED = ("anyargmax", "backends", "docs", "tests", ".ci")  # folders that the source distribution holds whole
GENERATED = ("docs/_build/", "docs/examples/", "docs/reference/generated/", "docs/reference/backreferences/")


def install(session: nox.Session, extras: str) -> None:
    """Install the checkout with some extras, unless the environment is the caller's."""
    if session.venv_backend != "none":
        session.install("-e", f".[{extras}]")


def folder(session: nox.Session) -> Path:
    """Return where distributions are built."""
    return Path(session.posargs[0] if session.posargs else ROOT / "dist").resolve()


def shipped() -> set[str]:
    """Return the files of the tree that a source distribution must hold."""
    files = [
        path for path in ROOT.iterdir() if path.suffix in (".md", ".toml", ".cff", ".py") or path.name == "LICENSE"
    ]
    files += [path for name in SHIPPED for path in (ROOT / name).rglob("*") if path.suffix not in (".pyc", ".pyo")]
    names = {path.relative_to(ROOT).as_posix() for path in files if path.is_file()}
    return {name for name in names if not name.startswith(GENERATED) and name != "docs/sg_execution_times.rst"}


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    install(session, "dev")
    session.run("python", "-m", "ruff", "check", ".")
    session.run("python", "-m", "ruff", "format", "--check", ".")


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel from the tree, the source distribution, and the wheel from that; check what they hold."""
    install(session, "dev")
    target = folder(session)
    direct = target / "direct"
    for old in (*target.glob("anyargmax-*"), *direct.glob("anyargmax-*")):
        old.unlink()
    build = ("python", "-m", "build", "--no-isolation")
    session.run(*build, "--wheel", "--outdir", str(direct), ".", silent=True)
    session.run(*build, "--outdir", str(target), ".", silent=True)
    wheels = [str(path) for place in (direct, target) for path in place.glob("*.whl")]
    (source,) = target.glob("*.tar.gz")
    session.run("python", ".ci/wheel_contents.py", *wheels)
    session.run("check-wheel-contents", *wheels)
    session.run("python", "-m", "twine", "check", "--strict", *wheels, str(source))
    with tarfile.open(source) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    if missing := sorted(shipped() - held):
        session.error(f"Missing from the source distribution: {', '.join(missing)}")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the wheel's files, where `anyargmax.backends` is a package."""
    install(session, "test,dev")
    (wheel,) = folder(session).glob("*.whl")
    unpacked = session.create_tmp()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    with session.chdir(unpacked):
        session.run("python", "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "anyargmax")


@nox.session
def test(session: nox.Session) -> None:
    """Run the suite; what follows ``--`` goes to pytest."""
    install(session, "test")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, run the examples of the gallery, and check pages, links and pictures."""
    install(session, "test,docs")
    site = ROOT / "docs" / "_build" / "html"
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(site))
    session.run("python", "-m", "pytest", "-p", "no:cacheprovider", "docs/test_site.py")
