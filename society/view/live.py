"""The live page of a run that is about to start: `society run --view`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from society.core.errors import InputError, MissingExtraError, SocietyError
from society.view.server import serve
from society.watcher import Watcher

if TYPE_CHECKING:
    import uvicorn

    from society.core.types import Item
    from society.scenario.expand import Society
    from society.view.people import PageAsker


class LiveView(Watcher):
    """Serves the page of a run from its first debate on, until `stop`. `ready` is called with the page's address.

    With `people`, it serves their pages as well.

    Raises `MissingExtraError` if the servers' library is not installed.
    """

    def __init__(self, ready: Callable[[str], None], people: PageAsker | None = None) -> None:
        try:
            import uvicorn  # noqa: F401 - the error should come before the run
        except ImportError as error:
            raise MissingExtraError("society run --view", "uvicorn", "view") from error
        self._ready, self._people = ready, people
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.error: SocietyError | None = None
        """The error because of which there is no page."""

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, args=(folder,), name="live view", daemon=True)
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        if self._people is not None:
            self._people.end()

    def _serve(self, folder: Path) -> None:
        try:
            serve(folder, 0, self._ready, self._keep, self._people)
        except SocietyError as error:
            self.error = error
        finally:
            if self._people is not None:  # nobody can answer any more
                remedy = "Run again with --resume (Python: resume=True) to go on."
                self._people.fail(self.error or InputError("The server of the pages has stopped.", remedy))

    def _keep(self, server: uvicorn.Server) -> None:
        self._server = server

    def wait(self) -> None:
        """Return after Ctrl-C, or at once if there is no page."""
        try:
            if self._thread is not None:
                self._thread.join()
        except KeyboardInterrupt:  # how users stop the server
            self.stop()

    def stop(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.should_exit = True
