"""`society view`: the report of a run while it goes on."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import run_argument


@click.command("view")
@run_argument
@click.option("--port", default=0, metavar="N", type=click.IntRange(0, 65535), help="Port. [default: a free one]")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
def command(run: Path, port: int, no_open: bool) -> None:
    """Show RUN in the browser while it goes on.

    RUN may also be a folder with several runs, such as runs/. The page then lists them all, with a link to each.
    Only this machine can open the page. Ctrl-C ends the server.

    \b
    society view runs/mine
    society view runs/
    """
    from society.view.server import serve

    def ready(url: str) -> None:
        click.echo(f"{url}\nPress Ctrl-C to end.")
        if not no_open:
            open_page(url)

    serve(run, port, ready)


def open_page(url: str) -> None:
    """Open an address in the browser."""
    import webbrowser

    webbrowser.open(url)
