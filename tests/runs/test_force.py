"""A run that goes on with a changed scenario: equal turns are kept, the others are made again, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from society.core.errors import InputError, RunFolderError
from society.runs.changes import BEGUN
from society.runs.folder import RunFolder
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from tests.conftest import rows

Load = Callable[..., Scenario]
TEXT = """
task: {{kind: arithmetic, form: a+b, limit: 3}}
backends: {{scripted: {{kind: scripted, rules: [{{calculate: {{skill: 0.5}}}}]}}}}
roles:
  solver: {{prompt: "{{{{ question }}}}"}}
  judge: {{prompt: "{judge} {{{{ question }}}}{{% for m in heard %}} {{{{ m.text }}}}{{% endfor %}}"}}
agents: {{a: {{role: solver}}, b: {{role: solver}}, judge: {{role: judge}}}}
phases:
  - {{name: answer, agents: [a, b]}}
  - {{name: judge, agents: [judge], reads: [a, b]}}
"""


def unmarked(done: Run) -> list[str]:
    return sorted(repr({**row, "reused": 0}) for row in rows(done))


def test_a_changed_scenario_is_refused_with_the_option_that_goes_on(scenario: Load, tmp_path: Path) -> None:
    run(scenario(TEXT.format(judge="Judge")), tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"roles\.judge\.prompt was 'Judge") as caught:
        run(scenario(TEXT.format(judge="Decide")), tmp_path / "run", resume=True)
    assert "--force (Python: force=True)" in caught.value.remedy


def test_equal_turns_are_kept_and_the_others_are_made_again(scenario: Load, tmp_path: Path) -> None:
    run(scenario(TEXT.format(judge="Judge")), tmp_path / "run")
    changed = scenario(TEXT.format(judge="Decide"))
    done = run(changed, tmp_path / "run", resume=True, force=True)
    alone = run(changed, tmp_path / "alone")
    assert unmarked(done) == unmarked(alone)
    assert done.count_reused() == 6  # both solvers on three questions
    assert (tmp_path / "run" / "earlier" / "1" / "store.sqlite").is_file()


def test_turns_of_every_earlier_store_are_kept_and_the_changed_run_can_be_resumed(
    scenario: Load, tmp_path: Path
) -> None:
    for judge in ("Judge", "Decide"):
        done = run(
            scenario(TEXT.format(judge=judge)), tmp_path / "run", resume=judge != "Judge", force=judge != "Judge"
        )
    again = run(scenario(TEXT.format(judge="Judge")), tmp_path / "run", resume=True, force=True)
    assert again.count_reused() == 9  # the judge's turns come from the first store
    assert unmarked(run(scenario(TEXT.format(judge="Judge")), tmp_path / "run", resume=True)) == unmarked(again)
    assert done.folder == again.folder


def test_force_without_a_change_goes_on_as_it_was(scenario: Load, tmp_path: Path) -> None:
    loaded = scenario(TEXT.format(judge="Judge"))
    first = run(loaded, tmp_path / "run")
    before = rows(first)
    assert rows(run(loaded, tmp_path / "run", resume=True, force=True)) == before
    assert not (tmp_path / "run" / "earlier").exists()


def test_force_alone_is_an_error(scenario: Load, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is for runs that go on"):
        run(scenario(TEXT.format(judge="Judge")), tmp_path / "run", force=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("link", ["earlier", "earlier/1"])
def test_earlier_stores_behind_links_are_refused(scenario: Load, tmp_path: Path, link: str) -> None:
    loaded = scenario(TEXT.format(judge="Judge"))
    run(loaded, tmp_path / "other")
    run(loaded, tmp_path / "run")
    place = tmp_path / "run" / link
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(tmp_path / "other")
    with pytest.raises(RunFolderError, match="is a link"):
        run(loaded, tmp_path / "run", resume=True)


def test_a_changed_run_that_does_not_start_leaves_the_run_as_it_was(scenario: Load, tmp_path: Path) -> None:
    first = run(scenario(TEXT.format(judge="Judge")), tmp_path / "run")
    before = rows(first)
    missing = "task={kind: file, path: missing.jsonl, question: q, gold: a}"
    changed = TEXT.format(judge="Decide")
    with pytest.raises(InputError, match=r"missing\.jsonl"):
        run(scenario(changed, missing), tmp_path / "run", resume=True, force=True)
    assert rows(first) == before
    assert not (tmp_path / "run" / "earlier").exists()
    done = run(scenario(changed), tmp_path / "run", resume=True, force=True)
    with pytest.raises(InputError, match=r"missing\.jsonl"):
        run(scenario(TEXT.format(judge="Say"), missing), tmp_path / "run", resume=True, force=True)
    assert done.count_reused() == 6
    assert [path.name for path in (tmp_path / "run" / "earlier").iterdir()] == ["1"]


def stop_while_loading(loaded: Scenario, folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunFolder(loaded, folder, resume=False):
        raise KeyboardInterrupt


def test_a_run_that_stopped_while_it_loaded_goes_on_with_its_own_scenario(scenario: Load, tmp_path: Path) -> None:
    first, changed = (scenario(TEXT.format(judge=judge)) for judge in ("Judge", "Decide"))
    stop_while_loading(first, tmp_path / "run")
    for _ in range(2):  # a refusal changes nothing
        with pytest.raises(RunFolderError, match="another scenario: roles") as error:
            run(changed, tmp_path / "run", resume=True)
        assert "--force" in error.value.remedy
    assert run(first, tmp_path / "run", resume=True).count_turns()
    assert not (tmp_path / "run" / BEGUN).exists()


def test_a_run_that_stopped_while_it_loaded_takes_a_changed_scenario_by_force(scenario: Load, tmp_path: Path) -> None:
    stop_while_loading(scenario(TEXT.format(judge="Judge")), tmp_path / "run")
    changed = scenario(TEXT.format(judge="Decide"))
    assert run(changed, tmp_path / "run", resume=True, force=True).count_turns()


def test_an_unknown_scenario_of_a_run_that_stopped_early_is_said_to_be_unknown(
    scenario: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = scenario(TEXT.format(judge="Judge"))
    stop_while_loading(loaded, tmp_path / "run")
    (tmp_path / "run" / BEGUN).unlink()  # as an earlier version left it
    run(loaded, tmp_path / "run", resume=True)
    assert "says nothing of its scenario" in caplog.text


def test_a_damaged_note_of_the_scenario_is_refused(scenario: Load, tmp_path: Path) -> None:
    loaded = scenario(TEXT.format(judge="Judge"))
    stop_while_loading(loaded, tmp_path / "run")
    for text in ("", "[]", '{"scenario": 1}', "{}"):
        (tmp_path / "run" / BEGUN).write_text(text)
        with pytest.raises(RunFolderError, match=r"is not what|another scenario"):
            run(loaded, tmp_path / "run", resume=True)
    (tmp_path / "run" / BEGUN).unlink()
    (tmp_path / "run" / BEGUN).symlink_to("/etc/passwd")
    with pytest.raises(RunFolderError, match="is a link"):
        run(loaded, tmp_path / "run", resume=True)
