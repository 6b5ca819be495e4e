"""Look up known vulnerabilities of the installed packages: `python tests/project/audit.py PIP_AUDIT`.

Exit status 1 for a vulnerability; 0, with a message, if the service is unreachable.
"""

from __future__ import annotations

import json
import site
import subprocess
import sys
from pathlib import Path

UNREACHABLE = (
    "NOT AUDITED: the vulnerability service could not be asked. Nothing is known about the installed versions."
)


def main(tool: str) -> int:
    """Run pip-audit on this interpreter's packages and return the exit status."""
    places = [part for folder in site.getsitepackages() for part in ("--path", folder)]
    if not Path(tool).exists():
        return judge("", f"{tool} could not be installed.")
    done = subprocess.run([tool, *places, "--format=json", "--progress-spinner=off"], capture_output=True, text=True)
    return judge(done.stdout, done.stderr)


def judge(output: str, errors: str) -> int:
    """Return the exit status for the output of pip-audit."""
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        print(UNREACHABLE, errors[-500:], sep="\n")
        return 0
    found = [(p["name"], p["version"], v["id"]) for p in packages for v in p.get("vulns", ())]
    for name, version, number in found:
        print(f"{name} {version}: {number}")
    asked = sum("vulns" in package for package in packages)
    if not asked:
        print(UNREACHABLE, errors[-500:], sep="\n")
        return 0
    print(f"{asked} packages audited, {len(packages) - asked} not known to the service, {len(found)} vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
