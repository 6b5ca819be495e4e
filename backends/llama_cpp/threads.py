"""The number of threads: one per core, or fewer if other programs use the cores.

llama.cpp's threads wait at a barrier several times in every layer. On an idle machine, all cores together are fastest.
If another program uses a core, all threads wait for the suspended one, hundreds of times per token. Measured on two
cores with one in use: two threads generate 13 to 63 tokens/s, one thread 146. So other numbers are tried repeatedly
during the work. The number of threads does not change results: each number is computed by one thread.
"""

from __future__ import annotations

TRIAL = 3
"""Steps of a trial; the first one is not counted."""
LONGEST_TRIAL = 12
"""Maximum steps of a trial; after them, it ends without a result. Prompts between the steps are the usual reason."""
SHORTEST_WAIT, LONGEST_WAIT = 0.25, 8.0
"""Seconds between trials: the shortest wait at first and after a change, doubled while nothing changes."""
BETTER = 0.92
"""Maximum share of the current time with which another number of threads is adopted."""


class ThreadTuner:
    """Chooses the number of threads for each step from the times of earlier steps."""

    def __init__(self, most: int, adapt: bool = True) -> None:
        """Use at most `most` threads; without `adapt`, always `most`."""
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

    def record(self, rows: int, seconds: float) -> None:
        """Record the time of a step of `rows` rows, and set `threads` for the next step."""
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
        """Record a step of the trial, and evaluate the trial after `TRIAL` steps of about the same size."""
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
