"""Word problems: true answers, several valid ways, and disjoint sets by construction."""

from __future__ import annotations

import random
import re
from itertools import islice

import pytest

from society.core.errors import InputError
from society.tasks.base import Task
from society.tasks.contract import TaskContract
from society.tasks.word_problems import WordProblems
from society.tasks.word_stories import ITEMS, NAMES, STORIES, WORDINGS, Problem, draw_problem, follow


class TestWordProblems(TaskContract):
    @pytest.fixture
    def task(self) -> Task:
        return WordProblems()


def problems(task: WordProblems, count: int, seed: int = 3) -> list[Problem]:
    return list(islice(task.problems(seed), count))


SOME = problems(WordProblems(templates="all"), 400)


@pytest.mark.parametrize("name", STORIES)
def test_every_way_comes_to_the_same_answer_by_small_numbers(name: str) -> None:
    story, rng = STORIES[name], random.Random(name)
    for _ in range(50):
        numbers = story.draw(rng, 40)
        ways = [list(follow(way, numbers)) for way in story.ways]
        assert len({steps[-1][3] for steps in ways}) == 1
        assert {len(steps) for steps in ways} == {story.steps}
        assert all(1 <= result <= 99 for steps in ways for *_, result in steps)
        used = {letter for way in story.ways for letter in re.findall("[k-nw-z]", way)}
        assert used == {*story.letters}  # no number of the text is beside the point


def test_solutions_hold_right_equations_and_end_with_the_answer() -> None:
    task = WordProblems(templates="all")
    for problem in SOME:
        solutions = list(problem.solutions())
        assert len(set(solutions)) > len(WORDINGS) - 1
        for text in solutions:
            equations = re.findall(r"(\d+[-+*]\d+)=(\d+)", text)
            assert len(equations) == problem.story.steps
            assert all(eval(left) == int(right) for left, right in equations)
            assert text.endswith(f"\n#### {problem.answer}")
            assert task.format.find(text) == str(problem.answer)


def test_an_error_in_a_step_is_carried_on() -> None:
    problem = Problem("lose_find", {"x": 9, "y": 4, "z": 3}, tuple(NAMES[:3]), "cups")
    assert problem.solve("p=x-y r=p+z", WORDINGS[0], lambda value: value + 1) == "9-4=6\n6+3=10\n#### 10"


def test_questions_are_whole_sentences_without_a_blank() -> None:
    for problem in SOME:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9 ,.]+\?", problem.question)
        assert not re.search(r"[{}]|  ", problem.question)
        assert all(str(number) in problem.question for number in problem.numbers.values())
    assert len(set(NAMES)) == len(NAMES) == 40
    assert len(set(ITEMS)) == len(ITEMS) == 30


def test_a_combination_of_template_and_numbers_occurs_once() -> None:
    keys = [problem.key for problem in problems(WordProblems(), 3000)]
    assert len(set(keys)) == len(keys)


def test_the_halves_share_no_problem_whatever_the_seed() -> None:
    first, second = (
        {problem.key for seed in (1, 2) for problem in problems(WordProblems(half=half), 2000, seed)}
        for half in ("first", "second")
    )
    assert first.isdisjoint(second)
    whole = {problem.key for problem in problems(WordProblems(), 500)}
    assert 0.4 < len(whole & first) / len(whole & (first | second)) < 0.6


def test_left_out_templates_share_no_sentence_with_the_others() -> None:
    def sentences(left_out: bool) -> set[str]:
        texts = (story.text for story in STORIES.values() if story.left_out == left_out)
        return {sentence for text in texts for sentence in re.split(r"(?<=[.?]) ", text)}

    assert sentences(True).isdisjoint(sentences(False))
    for templates in ("usual", "left_out"):
        used = {problem.name for problem in problems(WordProblems(templates=templates), 300)}
        assert used == {name for name, story in STORIES.items() if story.left_out == (templates == "left_out")}


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("templates", ["usual", "left_out"])
def test_problems_have_the_steps_asked_for(steps: int, templates: str) -> None:
    found = problems(WordProblems(steps=(steps,), templates=templates), 30)
    assert {problem.story.steps for problem in found} == {steps}


@pytest.mark.parametrize("high", [10, 60])
def test_numbers_are_within_their_bound(high: int) -> None:
    largest = max(max(problem.numbers.values()) for problem in problems(WordProblems(high=high), 1000))
    assert high - 3 <= largest <= high


def test_seeds_and_fields_give_other_problems() -> None:
    rng = random.Random(1)
    assert draw_problem(rng, ["find"], 40) != draw_problem(rng, ["find"], 40)
    assert problems(WordProblems(), 5, 1) != problems(WordProblems(), 5, 2)


def test_one_step_problems_run_out_with_an_error_that_counts_them() -> None:
    with pytest.raises(InputError, match=r"which has (at most )?\d+ in all"):
        WordProblems(steps=(1,), high=10, limit=1000).load(0)


@pytest.mark.parametrize("task", [WordProblems(), WordProblems(high=60, half="second"), WordProblems(steps=(1,))])
def test_more_problems_than_there_are_combinations_are_refused_at_once(
    task: WordProblems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WordProblems, "problems", lambda *_: pytest.fail("none is made"))
    with pytest.raises(InputError, match=f"which has at most {task.bound:,} in all"):
        task.model_copy(update={"limit": task.bound, "offset": 1}).load(0)


def test_no_more_problems_are_made_than_the_bound() -> None:
    task = WordProblems(steps=(1,), high=10, templates="all")
    assert 100 < len([*task.problems(0)]) <= task.bound == 4 * 81 + 81 + 32
