"""Reports how many metamorphic examples were run."""

from __future__ import annotations

import pytest

from tests.metamorphic.relation import EXAMPLES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not EXAMPLES:
        return
    terminalreporter.write_sep("-", "metamorphic tests")
    if config.get_verbosity() > 0:
        for name, count in sorted(EXAMPLES.items()):
            terminalreporter.write_line(f"{count:6,} {name}")
    terminalreporter.write_line(f"{sum(EXAMPLES.values()):,} examples of {len(EXAMPLES)} relations were run")
