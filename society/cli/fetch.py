"""`society fetch`: everything that a scenario needs from the network, before it goes to a machine without one."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import read_option, set_option


@click.command("fetch")
@click.argument("scenarios", nargs=-1, required=True, type=click.Path(path_type=Path))
@set_option
@read_option
def command(scenarios: tuple[Path, ...], overrides: tuple[str, ...], allow: tuple[Path, ...]) -> int:
    """Download the models and data sets of SCENARIOS into the caches.

    On a machine without a network, `society check --offline` then finds nothing missing. The caches may be on a shared
    disk: SOCIETY_CACHE and HF_HOME name them. What cannot be had is listed with the remedy, after all else is there.

    \b
    society fetch mine.yaml
    society fetch scenarios/*.yaml
    """
    from society.cli.streams import say
    from society.core.errors import SocietyError
    from society.planning.fetch import fetch
    from society.scenario import load_scenario

    status = 0
    for path in scenarios:
        try:
            found = fetch(load_scenario(path, overrides, allow))
        except SocietyError as error:
            status = max(status, error.status)
            say(f"society: {error}", err=True)
            continue
        for need in found:
            if need.error is None:
                say(f"{path}: {need.place}: {need.done}")
            else:
                status = max(status, need.error.status)
                say(f"{path}: {need.place}: {need.error}", err=True)
    return status
