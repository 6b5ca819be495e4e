"""The key-value cache of a batch: rows join, step and leave, and each still finds its own keys and nothing infinite."""

from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch")

from backends.hf.caches import RoomyLayer  # noqa: E402
from backends.hf.decode import close_ranks  # noqa: E402


@pytest.fixture(autouse=True)
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that nobody has written to is NaN."""
    fresh = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda self, *size: fresh(self, *size).fill_(torch.nan))


class Rows:
    """A layer beside the plain truth: the keys that each row has had, oldest first."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.layer, self.truth, self.next = RoomyLayer(), [], 1

    def keys(self, rows: int, columns: int):
        """Draw new numbers, unlike all before."""
        found = torch.arange(self.next, self.next + rows * columns, dtype=torch.float32).reshape(rows, 1, columns, 1)
        self.next += rows * columns
        return found

    def join(self) -> None:
        new = self.keys(self.draw.randint(1, 5), self.draw.randint(1, 30))
        rows = [row.flatten().tolist() for row in new]
        if self.truth:
            columns = max(self.layer.held[0].shape[2], new.shape[2])
            other = RoomyLayer()
            other.update(new, -new)
            self.layer.join(other, columns, self.draw.randint(0, 20))
        else:
            self.layer = RoomyLayer()
            self.layer.update(new, -new)
        self.truth += rows

    def step(self) -> None:
        new = self.keys(len(self.truth), 1)
        self.layer.update(new, -new)
        for row, key in zip(self.truth, new.flatten().tolist(), strict=True):
            row.append(key)

    def leave(self) -> None:
        kept = [i for i in range(len(self.truth)) if self.draw.random() < 0.6]
        if kept:
            order = close_ranks(kept)
            assert sorted(order) == kept
            self.truth = [self.truth[i] for i in order]
            self.layer.keep(order, self.layer.held[0].shape[2] - max(map(len, self.truth)))

    def check(self) -> None:
        keys, values = (states[:, 0, :, 0] for states in self.layer.held)
        assert keys.shape == (len(self.truth), max(map(len, self.truth)))
        assert torch.isfinite(keys).all()
        for row, key, value in zip(self.truth, keys.tolist(), values.tolist(), strict=True):
            assert key[len(key) - len(row) :] == row
            assert value[len(key) - len(row) :] == [-number for number in row]


@pytest.mark.parametrize("seed", range(20))
def test_every_row_keeps_its_own_keys(seed: int) -> None:
    rows = Rows(seed)
    rows.join()
    for _ in range(150):
        rows.draw.choices([rows.step, rows.leave, rows.join], [8, 1, 1])[0]()
        rows.check()


def test_few_rows_move_when_some_leave() -> None:
    assert close_ranks([0, 1, 2]) == [0, 1, 2]
    assert close_ranks([0, 2, 3, 5, 6]) == [0, 5, 2, 3, 6]
    assert close_ranks([4]) == [4]


def test_nothing_is_copied_while_there_is_room() -> None:
    rows = Rows(1)
    rows.join()
    rows.step()
    place = rows.layer.room[0].data_ptr()
    for _ in range(20):
        rows.step()
    rows.layer.keep([0], 0)
    assert rows.layer.room[0].data_ptr() == place
