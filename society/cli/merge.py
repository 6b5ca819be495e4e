"""`society merge`: shards of one scenario as one run."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import NewPath, read_option, set_option


@click.command("merge")
@click.argument("scenario", type=click.Path(path_type=Path))
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=NewPath(path_type=Path), help="Folder of the merged run.")
@set_option
@read_option
def command(
    scenario: Path, runs: tuple[Path, ...], out: Path, overrides: tuple[str, ...], allow: tuple[Path, ...]
) -> int:
    """Merge runs of parts of SCENARIO into the run of the whole.

    Each RUN has another range of questions, by task.offset and task.limit. No model is loaded. Debates that no run has
    are made by `society run SCENARIO --out DIR --resume`.

    \b
    society merge mine.yaml runs/a runs/b -o runs/all
    """
    from society.cli.streams import say
    from society.runs.find import find_runs
    from society.runs.merging import merge_runs
    from society.scenario import load_scenario

    done, planned = merge_runs(load_scenario(scenario, overrides, allow), find_runs(runs), out)
    say(f"{out}: {done:,} of {planned:,} debates")
    if done < planned:
        say(f"Debate the rest with: society run {scenario} --out {out} --resume", err=True)
    return 0
