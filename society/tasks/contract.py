"""The contract tests of tasks. To test a task, derive a test class:

    class TestMine(TaskContract):
        @pytest.fixture
        def task(self):
            return Mine(limit=8)

The task of the fixture must have at least eight questions.
"""

from __future__ import annotations

from society.tasks.base import Task


class TaskContract:
    """Tests of ids, slices, determinism, parsing and scoring. They need a fixture `task`."""

    def test_ids_are_unique_and_stable(self, task: Task) -> None:
        """The same seed gives the same questions, each with an id of its own and a text of its own."""
        first, second = _slice(task, 0, 8).load(7), _slice(task, 0, 8).load(7)
        assert first == second
        assert len({item.id for item in first}) == len({item.question for item in first}) == len(first) == 8

    def test_slices_are_cut_from_one_order(self, task: Task) -> None:
        """Question k is the same whatever the limit, and slices that do not overlap share no question."""
        whole = _slice(task, 0, 8).load(7)
        assert _slice(task, 0, 3).load(7) == whole[:3]
        assert _slice(task, 3, 5).load(7) == whole[3:]

    def test_shuffled_slices_are_cut_from_one_order(self, task: Task) -> None:
        """The same holds after shuffling."""
        mixed = task.model_copy(update={"shuffle": True})
        whole = _slice(mixed, 0, 8).load(7)
        assert _slice(mixed, 2, 4).load(7) == whole[2:6]

    def test_gold_is_found_and_correct(self, task: Task) -> None:
        """A reply that gives the gold answer, if known, as the instruction asks is parsed, and is right."""
        for item in filter(lambda item: item.gold, _slice(task, 0, 8).load(7)):
            answer = task.parse(_reply(task, item.gold), item)
            assert answer is not None, f"nothing found for {item.id}"
            assert task.correct(answer, item), f"{answer!r} counts as wrong for {item.id}"

    def test_an_alias_is_correct(self, task: Task) -> None:
        """Every alias is as right as the gold answer."""
        for item in _slice(task, 0, 8).load(7):
            assert all(task.correct(alias, item) for alias in item.aliases)

    def test_same_is_reflexive_and_symmetric(self, task: Task) -> None:
        """Every answer is the same as itself, and the order of two does not matter."""
        answers = [item.gold for item in _slice(task, 0, 8).load(7)] + ["", "42", "no idea"]
        for a in answers:
            assert task.same(a, a)
            assert all(task.same(a, b) == task.same(b, a) for b in answers)

    def test_nonsense_is_not_correct(self, task: Task) -> None:
        """An answer that answers nothing is wrong."""
        assert not any(task.correct("qwxz qwxz", item) for item in _slice(task, 0, 8).load(7))

    def test_it_says_how_to_answer(self, task: Task) -> None:
        """Prompts can tell a model how to end."""
        assert task.instruction


def _slice(task: Task, offset: int, limit: int) -> Task:
    return task.model_copy(update={"offset": offset, "limit": limit})


_REPLIES = {
    "tag": "Let me see.\n<answer>{}</answer>",
    "boxed": "Let me see. It is \\boxed{{{}}}.",
    "hash": "Let me see.\n#### {}",
    "choice": "Let me see. The answer is ({}).",
}


def _reply(task: Task, answer: str) -> str:
    """Return a model's reply that ends as the task's instruction requires."""
    first = task.format.extract[0]
    template = _REPLIES.get(first, "Let me see.\n{}") if isinstance(first, str) else "{}"
    return template.format(answer)
