"""The effect of each edge in a stored run: how often its reader took over a right or a wrong answer from its sender.

After the idea of AgentPrune (Zhang et al. 2024, arXiv 2410.02506), which keeps the edges of most use. There, a mask
over the edges is trained; here, edges are counted.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from society.core.errors import InputError
from society.metrics.influence import list_readings
from society.runs.records import load_records, sameness
from society.runs.run import Run
from society.scenario.expand import expand

Effect = tuple[str, str, float]
"""Sender, reader, and effect."""


def score_edges(folder: Path) -> list[Effect]:
    """Return the effect of each edge along which an agent read another before its next answer, the best first.

    The effect is (gains - losses) / readings. A gain is a wrong answer, or none, that became right after a right
    message; a loss is a right answer that became the wrong one of the message. Among equal effects, the edge with the
    larger share of right messages is first. Raises `InputError` for a run without such edges or without true answers.
    """
    run = Run(folder)
    records = [record for record in load_records(run) if record.result.scored]
    if not records:
        raise InputError(f"The run {folder} has no finished debate with a true answer.", "Learn from another run.")
    same = sameness(expand(run.scenario))
    effects: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    right: defaultdict[tuple[str, str], int] = defaultdict(int)
    for reading in list_readings(records):
        before, after = (reading.record.right(turn) for turn in (reading.before, reading.after))
        for sender in reading.senders:
            edge = (sender.id.agent, reading.after.id.agent)
            told = reading.record.right(sender)
            both = sender.answer, reading.after.answer
            taken = both[0] is not None and both[1] is not None and same(both[0], both[1])
            effects[edge].append(int(after and not before and told) - int(before and not after and taken))
            right[edge] += told
    if not effects:
        raise InputError(f"In the run {folder} no agent read another between two answers.", "Learn from another run.")
    scored = {edge: (sum(found) / len(found), right[edge] / len(found)) for edge, found in effects.items()}
    best = sorted(scored, key=lambda edge: (-scored[edge][0], -scored[edge][1], edge))
    return [(*edge, round(scored[edge][0], 6)) for edge in best]
