"""`society view`: the report of a run while it goes on."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("view")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The port to serve on. [default: a free one]")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
def command(run: Path, port: int, no_open: bool) -> None:
    """Show RUN in the browser, live. Only this machine can see it; Ctrl-C ends it."""
    from society.view.server import serve

    def ready(url: str) -> None:
        click.echo(f"{url}\nCtrl-C to end.")
        if not no_open:
            import webbrowser

            webbrowser.open(url)

    serve(run, port, ready)
