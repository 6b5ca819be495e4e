"""`society run`: debates, shown while they go on, and their summary."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from society.cli.options import NewPath, grace_option, json_option, log_options, scenario_options, set_logs

if TYPE_CHECKING:
    from society.results import Run
    from society.runner.progress import Progress
    from society.view.live import LiveView
    from society.view.people import PageAsker
    from society.watcher import Watcher


@click.command("run")
@scenario_options
@click.option("-o", "--out", type=NewPath(path_type=Path), help="Folder of the run. [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Continue an unfinished run, and try failed turns again.")
@click.option("--force", is_flag=True, help="With --resume: go on although the scenario has changed. Keep equal turns.")
@click.option(
    "--reuse",
    multiple=True,
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Copy the replies of equal turns from this run's folder. May be given several times.",
)
@click.option(
    "--track",
    multiple=True,
    metavar="SERVICE:TARGET",
    help="Log metrics to tensorboard:DIR, mlflow:URI, trackio:PROJECT or wandb:PROJECT; spans and metrics to otel:URL.",
)
@click.option("--watch", is_flag=True, help="Print the debates as they are spoken; on a terminal, word by word.")
@click.option("--view", is_flag=True, help="Open the live page in the browser. It stays until Ctrl-C.")
@grace_option
@log_options
@json_option
def command(
    scenario: Path,
    overrides: tuple[str, ...],
    allow: tuple[Path, ...],
    out: Path | None,
    resume: bool,
    force: bool,
    reuse: tuple[Path, ...],
    track: tuple[str, ...],
    watch: bool,
    view: bool,
    grace: float,
    log_level: str | None,
    log_json: bool,
    as_json: bool,
) -> int:
    """Debate every question of SCENARIO and print a summary.

    With a `train` block, also finetune its agents. An interrupted run is continued with --resume. After a change of the
    scenario, such as a corrected prompt, --resume --force keeps the turns that the change does not touch.

    \b
    society run mine.yaml
    society run mine.yaml --set phases.debate.rounds=3
    society run mine.yaml --resume
    """
    from backends.human.asking import answered_through
    from society.cli.streams import say
    from society.core.errors import InputError, SocietyError
    from society.runner.displays import Display, Logged
    from society.runner.progress import Progress
    from society.runner.tracking import open_tracking
    from society.scenario import load_with_warnings
    from society.scenario.expand import expand
    from society.session import run
    from society.watcher import Several

    set_logs(log_level, log_json)
    loaded, warnings = load_with_warnings(scenario, overrides, allow)
    for warning in warnings:
        say(warning, err=True)
    people = tuple(dict.fromkeys(expand(loaded).people.values()))
    if people and watch and not view:
        raise InputError(
            f"--watch would show {people[0]!r}, who is asked in this terminal, what the other agents say.",
            "Leave out --watch, or add --view: people are then asked on pages of their own.",
        )
    lines = Logged() if log_json else Display()
    progress = Progress(lines if log_json or watch or people else None)
    logs = [open_tracking(where, loaded.name) for where in track]
    asker = _open_pages(people) if people and view else None
    live = _open_view(asker) if view else None
    watcher = Several([progress, *logs, *([_open_stream(as_json)] if watch else []), *([live] if live else [])])
    more: dict[str, Any] = {"watcher": watcher, "progress": False, "grace": grace}
    try:
        with nullcontext() if asker is None else answered_through(asker):
            done = run(loaded, out, resume=resume, force=force, reuse=reuse, **more)
    except (SocietyError, KeyboardInterrupt) as error:
        if as_json:
            _print_stopped(progress, resume, error)
        raise
    _print_summary(done, progress.seconds, resume, as_json)
    if live is not None:
        _wait(live)
    return 1 if done.count_failed() else 0


def _print_stopped(progress: Progress, resumed: bool, error: BaseException) -> None:
    """Print the numbers of a run that this error ended, with state and reason, as JSON; nothing before it began.

    `stored` counts all turns that the run has generated, also those of debates that have not ended. A full disk may
    have kept the store from knowing the state.
    """
    import json

    from society.core.errors import SocietyError, describe_error
    from society.metrics.overview import read_overview
    from society.results import Run
    from society.runs.session_log import find_state

    reason = error.cause if isinstance(error, SocietyError) else describe_error(error)
    ended = {"state": find_state(error, ended_early=True, failed=False).value, "reason": reason}
    if progress.folder is not None:
        with suppress(SocietyError):
            run = Run(progress.folder)
            numbers = read_overview(run).plain(progress.seconds, resumed) | {"stored": _count_stored(run)}
            click.echo(json.dumps(numbers | ended, indent=2, allow_nan=False))


def _count_stored(run: Run) -> dict[str, int]:
    """Return the number of turns that the run has generated, and their tokens."""
    from society.core.types import Usage

    with run.open_store() as store:
        used = sum((usage for _, _, usage in store.spent()), Usage())
        turns = store.count("reused = 0")
    return {"turns": turns, "prompt_tokens": used.prompt_tokens, "generated_tokens": used.generated_tokens}


def _print_summary(done: Run, seconds: float, resumed: bool, as_json: bool) -> None:
    """Print the summary of a run that took these seconds, and the command that shows its debates."""
    from society.cli.streams import output_width, say
    from society.components.plugin_files import loaded_plugins
    from society.core.plain import name_path
    from society.metrics.overview import read_overview

    overview = read_overview(done)
    if as_json:
        import json

        click.echo(json.dumps(overview.plain(seconds, resumed), indent=2, allow_nan=False))
        return
    plugins = "".join(f" --plugins {file.path}" for file in loaded_plugins())
    rows = [*overview.rows(seconds, resumed), ("next", f"society show {name_path(done.folder)}{plugins}")]
    say("\n" + overview.text(rows, output_width()))


def _open_stream(as_json: bool) -> Watcher:
    """Return the watcher that prints debates, on stderr where stdout holds JSON."""
    from society.core.terminal import Terminal
    from society.runner.stream import DebateStream

    return DebateStream(Terminal(stderr=as_json))


def _open_pages(people: Sequence[str]) -> PageAsker:
    """Return what asks these people on pages. It prints their addresses, and opens the page of a single person."""
    from society.cli.streams import say
    from society.cli.view import open_page
    from society.view.people import PageAsker

    def ready(addresses: dict[str, str]) -> None:
        for person, url in addresses.items():
            say(f"The page of {person}: {url}", err=True)
        if len(addresses) == 1:
            open_page(*addresses.values())

    asker = PageAsker(people)
    asker.ready = ready
    return asker


def _open_view(people: PageAsker | None) -> LiveView:
    """Return the watcher that opens the live page. Beside pages of people, it only prints where the live page is."""
    from society.cli.streams import say
    from society.cli.view import open_page
    from society.view.live import LiveView

    def ready(url: str) -> None:
        if people is None:
            say(f"The live page: {url}", err=True)
            open_page(url)
        else:
            say(f"The live page, which shows people what all agents say: {url}", err=True)

    return LiveView(ready, people)


def _wait(live: LiveView) -> None:
    """Keep the live page until Ctrl-C, or print why there is none."""
    from society.cli.streams import say

    if live.error is None:
        say("The page stays until Ctrl-C.", err=True)
        live.wait()
    if live.error is not None:
        say(f"society: there is no live page: {live.error}", err=True)
