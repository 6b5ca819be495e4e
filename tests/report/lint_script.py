"""Checks the page's script: `python -m tests.report.lint_script`, a part of `make lint`.

The files of `society/report/assets` share one scope, so undefined and unused names only show in the joined script. Each
problem is printed with its place in the file that it comes from.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

from society.report.page import PAGES, PageKind, build_script

ASSETS = Path(str(files("society.report") / "assets"))
TOOLS = Path(sysconfig.get_path("scripts"))


def lint(script: str, kind: PageKind = "report") -> str:
    """Return the linter's problems in the joined script of a page, one on each line; empty if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.js")
        path.write_text(script, encoding="utf-8")
        config = ["--config", str(ASSETS / ".oxlintrc.json"), "--format", "unix"]
        done = subprocess.run([TOOLS / "oxlint", *config, str(path)], capture_output=True, text=True, cwd=folder)
    problems = re.findall(r"^.*?page\.js:(\d+):(\d+): (.*)$", done.stdout, re.MULTILINE)
    if done.returncode and not problems:
        raise RuntimeError(f"oxlint failed: {done.stdout}{done.stderr}")
    return "\n".join(f"{find_line(int(line), kind)}:{column}: {text}" for line, column, text in problems)


def lint_pages() -> str:
    """Return the problems of all pages. A name in a shared file is unused only if no page uses it."""
    found = {kind: lint(build_script(kind), kind).splitlines() for kind in PAGES}
    shared = {name: [kind for kind in PAGES if name in PAGES[kind]] for names in PAGES.values() for name in names}

    def counts(problem: str) -> bool:
        kinds = shared[problem.partition(":")[0].rpartition("/")[2]]
        return "never used" not in problem or all(problem in found[kind] for kind in kinds)

    return "\n".join(dict.fromkeys(problem for lines in found.values() for problem in lines if counts(problem)))


def find_line(line: int, kind: PageKind = "report") -> str:
    """Return file and line of a line of the joined script of a page."""
    rest = line - 1  # the first line is "use strict"
    for name in PAGES[kind]:
        lines = (ASSETS / name).read_text(encoding="utf-8").count("\n") + 1
        if rest <= lines:
            return f"society/report/assets/{name}:{rest}"
        rest -= lines
    return f"line {line}"


def main() -> int:
    """Check format and problems; return 1 if there are any."""
    formatted = subprocess.run([TOOLS / "oxfmt", "--check", *sorted(map(str, ASSETS.glob("*.js")))], cwd=ASSETS)
    problems = lint_pages()
    if problems:
        print(problems)
    return 1 if problems or formatted.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
