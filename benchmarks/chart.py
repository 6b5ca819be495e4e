"""Draw the ratios of all benchmarks in one chart; each script records its own ratios."""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
RATIOS = RESULTS / "ratios.json"


def record(script: str, ratios: dict[str, tuple[float, float]]) -> None:
    """Replace the ratios of this script: for each claim the measured ratio and the claimed minimum."""
    known = json.loads(RATIOS.read_text()) if RATIOS.exists() else {}
    known[script] = {claim: [round(ratio, 3), least] for claim, (ratio, least) in ratios.items()}
    RATIOS.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def draw() -> Path:
    """Draw a bar for each ratio and a mark at its minimum; bars below the minimum are paler."""
    from matplotlib.figure import Figure

    known = json.loads(RATIOS.read_text())
    rows = [(f"{claim}  ({script})", *pair) for script, claims in known.items() for claim, pair in claims.items()]
    figure = Figure(figsize=(10, 0.9 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    colours = ["#4878a8" if ratio >= least else "#c8a0a0" for _, ratio, least in rows]
    axes.barh(places, [ratio for _, ratio, _ in rows], color=colours, height=0.6)
    axes.plot([least for _, _, least in rows], places, "|", color="#c04040", markersize=14, markeredgewidth=2)
    for place, (_, ratio, _) in zip(places, rows, strict=True):
        axes.text(ratio, place, f" {ratio:.2f}", va="center", fontsize=8)
    axes.set_yticks(places, [label for label, _, _ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("times (red: what is claimed at least)")
    axes.spines[["top", "right"]].set_visible(False)
    path = RESULTS / "ratios.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


if __name__ == "__main__":
    print(draw())
