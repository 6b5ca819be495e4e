"""Picture files of matplotlib figures. The same figure gives the same file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from society.core.atomic import atomic_write
from society.core.disks import advise
from society.core.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["svg", "png", "pdf"]
PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00", "#999999")
"""Colours that colour-blind readers can tell apart (Okabe and Ito 2008), without the black of the text."""
TEXT, GREY = "#222222", "#888888"
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": TEXT,
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "text.parse_math": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "society",
}
"""Settings of matplotlib, which types the keys. The salt makes the identifiers in SVG files reproducible."""
METADATA: dict[Format, dict[str, None]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
}
"""Metadata to leave out, because the values differ between days and versions."""


def read_format(path: Path) -> Format:
    """Return the format that the path's extension names. Raises `InputError` for any other extension."""
    for name in get_args(Format):
        if path.suffix.lower() == f".{name}":
            return name  # type: ignore[no-any-return]  # one of the literals
    raise InputError(f"{path.name} names no format of a picture.", "Use the extension .svg, .png or .pdf.")


@contextmanager
def plotting(command: str) -> Iterator[None]:
    """Apply `STYLE` while drawing. Raises `MissingExtraError` without matplotlib; `command` is what needs it."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError(command, "matplotlib", "draw") from error
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names in a script that the font lacks
        yield


def save(figure: Figure, path: Path) -> Path:
    """Write the figure to `path` and return `path`. Raises `InputError` where the path cannot be written."""
    form = read_format(path)
    try:
        with atomic_write(path) as part:
            figure.savefig(part, format=form, dpi=200, metadata=METADATA[form])
    except OSError as error:
        remedy = advise(error, "Choose another path with -o.")
        raise InputError(f"{path} cannot be written: {error.strerror}.", remedy) from error
    return path
