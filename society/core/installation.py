"""Checks that Python imports this distribution's packages and no foreign ones of the same names.

PyPI has other distributions named `society`, `backends` and `topologies`. Installers let them overwrite the files of
this distribution without a warning.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from society.core.errors import DISTRIBUTION, InputError
from society.core.pip_command import pip

PACKAGES = ("society", "backends", "topologies")
_ROOT = Path(__file__).resolve().parents[2]


def check_installation() -> None:
    """Raise `InputError` if Python imports a foreign package named `society`, `backends` or `topologies`.

    A foreign package is found at another place (a folder beside a script, say), or its files have replaced ours. The
    `__init__.py` of each of our packages therefore names the distribution.
    """
    for name in PACKAGES:
        home = _ROOT / name
        spec = find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found not in (home, None):
            raise InputError(
                f"Python imports the package {name!r} from {found}, but {DISTRIBUTION} brings its own in {home}.",
                f"Rename or move {found}, uninstall the package that owns it, or run from another folder.",
            )
        if found is None or DISTRIBUTION not in (home / "__init__.py").read_text(encoding="utf-8", errors="replace"):
            names = " ".join([*PACKAGES, DISTRIBUTION])
            raise InputError(
                f"Another distribution has replaced files of {DISTRIBUTION} in {home}.",
                f"{pip(f'uninstall {names}')}, then {pip(f'install {DISTRIBUTION}')}",
            )
