"""Time to open and scroll a report of 2,000 debates (3 agents, 3 rounds, replies of 80 to 160 words) in Chromium.

    python benchmarks/report_opening.py

Opening is the time from the start of the navigation to the first drawn debate, the median of five. Then the list is
scrolled by 300 pixels per frame, and the time between frames is measured. Last, one word is searched in all replies.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from chart import record
from machine import describe_machine
from playwright.sync_api import Page

from society.report.page import write_report
from society.runs.run import Run
from society.scenario import load_scenario
from society.session import run
from tests.report.browser import READY, open_browser

RESULT = Path(__file__).parent / "results" / "report_opening.md"
DEBATES, REPETITIONS, LIMIT = 2000, 5, 2.0
WORDS = [a + b + c for a in "bdfklmnprst" for b in ("a", "e", "io", "u") for c in ("l", "rn", "ssa", "t", "mo", "")]
PROMPT = """
      {{ question }}
      {% for message in heard %}
      - {{ message.text }}
      {% endfor %}
"""
SCROLL = """async () => {
    const list = document.getElementById("list");
    const times = [];
    let last = performance.now();
    for (let i = 0; i < 240; i += 1) {
        list.scrollTop += 300;
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - last);
        last = performance.now();
    }
    return times;
}"""
ALL_READ = """async () => {
    const run = data.runs[0];
    while (run.replies?.length !== run.debates.length) await new Promise(requestAnimationFrame);
}"""


def make_run(folder: Path) -> Run:
    """Run debates with long replies that hardly compress."""
    draw = random.Random(0)
    replies = [f"{' '.join(draw.choices(WORDS, k=draw.randint(80, 160)))} {draw.randint(0, 9)}" for _ in range(400)]
    rules = "".join(f'        - "{reply}"\n' for reply in replies)
    (folder / "big.yaml").write_text(f"""
version: 1
name: big
task: {{kind: arithmetic, limit: {DEBATES}, form: a+b-c, high: 40}}
backends:
  local:
    kind: scripted
    rules:
    - choose:
{rules}
roles:
  debater:
    prompt: |{PROMPT}
agents: {{debater: {{count: 3}}}}
phases: [{{name: debate, topology: complete, rounds: 3}}]
""")
    return run(load_scenario(folder / "big.yaml"), folder / "big")


def open_once(page: Page, url: str) -> float:
    """Return the seconds until the page has drawn itself, by the page's own clock."""
    page.goto("about:blank")
    page.goto(url, wait_until="commit")
    page.wait_for_selector(READY)
    return float(page.evaluate("performance.now()")) / 1000


def search(page: Page) -> float:
    """Return the seconds of a search for one word in all replies."""
    started = time.perf_counter()
    page.fill("#search", "bamo fassa")
    page.wait_for_selector("#count:has-text(' of 2,000')")
    page.evaluate(ALL_READ)
    return time.perf_counter() - started


def measure(folder: Path) -> dict[str, Any]:
    """Return all figures of the result."""
    done = make_run(folder)
    started = time.perf_counter()
    write_report([done], folder / "report.html")
    found: dict[str, Any] = {"write": time.perf_counter() - started, "size": (folder / "report.html").stat().st_size}
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        found["open"] = [open_once(page, (folder / "report.html").as_uri()) for _ in range(REPETITIONS)]
        found["frames"] = page.evaluate(SCROLL)
        found["search"] = search(page)
    return found


def main() -> None:
    """Measure, write the result, and fail above the limit."""
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name))
    opened, frames = statistics.median(found["open"]), sorted(found["frames"])
    text = f"""# Opening a report

2,000 debates of 3 agents and 3 rounds (18,000 turns, replies of 80 to 160 words) in headless Chromium.

| what | figure |
|---|---|
| the file | {found["size"] / 1e6:.1f} MB |
| writing it | {found["write"]:.1f} s |
| opening it: median of {REPETITIONS} (slowest) | {opened:.2f} s ({max(found["open"]):.2f} s) |
| scrolling the list, a frame: median / 95th percentile / longest | {statistics.median(frames):.0f} / \
{frames[int(0.95 * len(frames))]:.0f} / {frames[-1]:.0f} ms |
| first search through all replies | {found["search"]:.2f} s |

{describe_machine()}
"""
    record("report_opening.py", {f"{LIMIT:g} s, to opening a report of {DEBATES:,} debates": (LIMIT / opened, 1.0)})
    RESULT.write_text(text)
    print(text)
    if opened > LIMIT:
        raise SystemExit(f"Opening takes {opened:.2f} s, more than {LIMIT} s.")


if __name__ == "__main__":
    main()
