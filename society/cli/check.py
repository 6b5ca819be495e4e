"""`society check`: all problems of scenarios."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import json_option, read_option, set_option


@click.command("check")
@click.argument("scenarios", nargs=-1, required=True, type=click.Path(path_type=Path))
@set_option
@read_option
@click.option("--offline", is_flag=True, help="Report models and data sets that a machine without network lacks.")
@json_option
def command(
    scenarios: tuple[Path, ...], overrides: tuple[str, ...], allow: tuple[Path, ...], offline: bool, as_json: bool
) -> int:
    """List every problem of SCENARIOS with file, line and column.

    Data files and the headers of local models are read, and the prompts of one debate are rendered. No model is loaded.

    \b
    society check mine.yaml
    society check mine.yaml --set task.limit=5
    society check mine.yaml --offline
    """
    from society.cli.streams import say
    from society.planning.preflight import check

    found = {path: check(path, overrides, allow, offline=offline) for path in scenarios}
    problems = list(dict.fromkeys(problem for listed in found.values() for problem in listed))
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps({"problems": [dataclasses.asdict(p) for p in problems]}, indent=2, default=str))
    else:
        for problem in problems:
            say(problem)
        fine = sum(all(problem.level == "warning" for problem in listed) for listed in found.values())
        for path, listed in found.items():
            if all(problem.level == "warning" for problem in listed):
                _tell_people(path, overrides, allow)
        click.echo(f"{fine} of {len(found)} scenarios can be run", err=True)
    return 2 if any(problem.level == "error" for problem in problems) else 0


def _tell_people(path: Path, overrides: tuple[str, ...], allow: tuple[Path, ...]) -> None:
    """Print how often a scenario that can be run asks people, and for how long."""
    from society.scenario import load_scenario
    from society.scenario.expand import expand

    society = expand(load_scenario(path, overrides, allow))
    if not society.people:
        return
    from society.cli.streams import say
    from society.planning.people import describe_people
    from society.planning.plan import make_plan

    plan = make_plan(society, 0)
    for line in describe_people(society, plan.worst, plan.debates):
        say(f"{path.name}: {line}")
