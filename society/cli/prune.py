"""`society prune`: removes adapters that no later iteration of a run needs."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import runs_argument


@click.command("prune")
@runs_argument
@click.option("--dry-run", is_flag=True, help="Only list the adapters and their size.")
def command(runs: tuple[Path, ...], dry_run: bool) -> None:
    """Remove adapters that no later iteration of these runs needs.

    Checkpoints of finished finetunings are removed, too. The latest adapters of each learner stay, and those to which
    `train.guard` may return. A pruned run can be resumed: what it needs again of a removed adapter is an error, and
    never another result.

    \b
    society prune runs/trained --dry-run
    """
    from society.cli.streams import say
    from society.core.plain import count
    from society.runs.find import find_runs
    from society.training.prune import prune_run

    total = 0
    for run in find_runs(runs):
        paths, size, kept = prune_run(run.folder, dry_run)
        total += size
        for path in paths:
            say(f"{run.folder}/{path}")
        if kept:
            say(f"{run.folder}: {kept}")
        say(f"{run.folder}: {count(len(paths), 'folder')}, {size:,} bytes")
    say(f"{'To be freed' if dry_run else 'Freed'}: {total:,} bytes")
