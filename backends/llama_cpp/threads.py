"""How many threads compute: as many as there are cores, or fewer where other programs need the cores too.

llama.cpp's threads meet at a barrier several times in every layer. Alone on the machine, all cores together are
fastest; where another program holds one of them, everybody waits for the thread that was put aside, hundreds of times
a token: measured on two cores with one in use, two threads gave 13 to 63 tokens/s where one gave 146. So the number
is tried out, again and again, while the work goes on. It does not change results: every number is computed whole by
one thread.
"""

from __future__ import annotations

TRIAL = 3
"""Steps of a trial: the first is not counted."""
LONGEST_TRIAL = 12
"""Steps after which a trial ends without a verdict, when prompts come in between."""
SHORTEST_WAIT, LONGEST_WAIT = 0.25, 8.0
"""Seconds between trials: few at first and after a change, fewer as long as nothing changes."""
BETTER = 0.92
"""Another number of threads is taken up if it needs at most this share of the time."""


class Pace:
    """Chooses the number of threads for each step from how long earlier steps took."""

    def __init__(self, most: int, adapt: bool = True) -> None:
        """`most` threads at the most; without `adapt`, always."""
        self.options = [most]
        while adapt and self.options[-1] > 1:
            self.options.append(self.options[-1] // 2)
        self.threads = most
        self._current = 0  # index of the option in use
        self._rows = 0  # of the steps that are being compared
        self._usual = 0.0  # seconds of the latest step with the option in use
        self._trial: list[float] = []  # seconds a row of the steps of the trial under way
        self._seen = 0  # steps of the trial, of any size
        self._tried = 0  # index of the option on trial, if `_trying`
        self._trying = False
        self._wait = self._left = SHORTEST_WAIT

    def note(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long with `threads`; sets `threads` for the next one."""
        if len(self.options) == 1:
            return
        if self._trying:
            self._on_trial(rows, seconds)
            return
        self._rows, self._usual = rows, seconds
        self._left -= seconds
        if self._left <= 0:
            self._start_trial()

    def _start_trial(self) -> None:
        others = [i for i in range(len(self.options)) if i != self._current]
        self._tried = others[(others.index(self._tried) + 1) % len(others)] if self._tried in others else others[0]
        self._trial, self._seen, self._trying = [], 0, True
        self.threads = self.options[self._tried]

    def _on_trial(self, rows: int, seconds: float) -> None:
        """Take note of a step of the trial, and judge it after `TRIAL` steps of about the same size."""
        self._seen += 1
        if 0.8 * self._rows <= rows <= 1.25 * self._rows:
            self._trial.append(seconds / rows)
        if len(self._trial) < TRIAL and self._seen < LONGEST_TRIAL:
            return
        self._trying = False
        if len(self._trial) == TRIAL and min(self._trial[1:]) < BETTER * self._usual / self._rows:
            self._current, self._wait = self._tried, SHORTEST_WAIT
        else:
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        self._left = self._wait
        self.threads = self.options[self._current]
