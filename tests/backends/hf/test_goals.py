"""Weights of rows and objectives over replies: losses and steps against plain arithmetic on the model's logits."""

import threading
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from backends.hf.batches import Batches  # noqa: E402
from backends.hf.examples import Rows  # noqa: E402
from backends.hf.goals import Preference, mismatched  # noqa: E402
from backends.hf.loading import load_model  # noqa: E402
from backends.hf.loop import Share, Watch, train_rows  # noqa: E402
from backends.hf.loss import Loss, collate  # noqa: E402
from backends.objectives import Dpo, Kto  # noqa: E402
from backends.training import TrainSettings  # noqa: E402
from tests.backends.hf.test_arithmetic import CPU, make_rows, make_trainable  # noqa: E402


def logprob(network: Any, row: tuple[list[int], int]) -> Any:
    """Return the log-probability of a row's reply, from the logits of the row alone."""
    ids, start = row
    logits = network(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return logits[start - 1 : -1].gather(1, torch.tensor(ids[start:])[:, None]).sum()


def gradient(network: Any, loss: Any) -> Any:
    network.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("fused", [True, False])
def test_a_weight_multiplies_the_loss_of_its_row(model: Path, fused: bool) -> None:
    network = load_model(model, torch.float32, "cpu").requires_grad_(True)
    rows, weights = make_rows(4), [0.5, 2.0, 0.0, 1.5]
    loss = Loss(network, network, None, plain=not fused)
    found = loss(collate(rows, CPU, weights), 0.25)
    plain = sum(-logprob(network, row) * weight for row, weight in zip(rows, weights, strict=True)) * 0.25
    assert found.item() == pytest.approx(plain.item(), rel=1e-5)
    assert torch.allclose(gradient(network, found), gradient(network, plain), rtol=1e-3, atol=1e-5)


def test_equal_weights_change_nothing(model: Path) -> None:
    network = load_model(model, torch.float32, "cpu")
    rows = make_rows(4)
    loss = Loss(network, network, None)
    assert torch.equal(loss(collate(rows, CPU)), loss(collate(rows, CPU, [1.0] * 4)))


def pairs(count: int) -> list[tuple[list[int], int]]:
    """Return rows in which every second one has the prompt of the one before, and another reply."""
    found = []
    for (ids, start), (other, _) in zip(make_rows(2 * count)[::2], make_rows(2 * count)[1::2], strict=True):
        found += [(ids, start), (ids[:start] + other[:7], start)]
    return found


def test_the_drift_is_measured_on_replies_to_other_questions() -> None:
    rows = [([i, 10 + i], 1) for i in range(5)]
    found = mismatched(Rows(rows, questions=("a", "a", "a", "b", "a")))
    assert [ids for ids, _ in found] == [[0, 13], [1, 13], [2, 13], [3, 14], [4, 13]]
    assert mismatched(Rows(rows, questions=("a",) * 5)) == []
    assert [ids[1] for ids, _ in mismatched(Rows(rows))] == [11, 12, 13, 14, 10]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_the_loss_of_replies_and_its_gradient_are_those_of_plain_arithmetic(
    model: Path, kind: str, fused: bool
) -> None:
    network = load_model(model, torch.float32, "cpu").requires_grad_(True)
    rows = pairs(3)
    objective = Dpo(beta=0.3, nll=0.5) if kind == "dpo" else Kto(beta=0.3, undesired=2.0)
    loss = Loss(network, network, None, plain=not fused)
    whole = Rows(rows, desired=(True, False) * 3, questions=("one", "one", "two", "two", "one", "three"))
    goal = Preference(loss, whole, lambda columns: None, objective, 4)
    before = [logprob(network, row).item() for row in rows]
    others = [logprob(network, row).item() for row in mismatched(whole)]
    assert goal.reference[0] == pytest.approx(before, rel=1e-5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.05)
    found = goal([0, 1, 2] if kind == "dpo" else [0, 1, 2, 3, 4, 5], 0.5)
    gains = [logprob(network, row) - was for row, was in zip(rows, before, strict=True)]
    if kind == "dpo":
        plain = sum(-torch.nn.functional.logsigmoid(0.3 * (gains[i] - gains[i + 1])) for i in (0, 2, 4))
        plain = plain + 0.5 * sum(-logprob(network, rows[i]) / (len(rows[i][0]) - rows[i][1]) for i in (0, 2, 4))
    else:
        moved = [logprob(network, row).item() - was for row, was in zip(mismatched(whole), others, strict=True)]
        drift = max(0.0, sum(moved) / 6)
        plain = sum(1 - torch.sigmoid(0.3 * (gains[i] - drift)) for i in (0, 2, 4))
        plain = plain + 2 * sum(1 - torch.sigmoid(0.3 * (drift - gains[i])) for i in (1, 3, 5))
    assert found.item() == pytest.approx(plain.item() * 0.5, rel=1e-4)
    assert torch.allclose(gradient(network, found), gradient(network, plain * 0.5), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("objective", [Dpo(beta=0.5, nll=0), Kto(beta=0.5)], ids=["dpo", "kto"])
def test_training_makes_desired_replies_more_likely_than_others(model: Path, method: str, objective: Any) -> None:
    rows, losses = pairs(6), []
    settings = TrainSettings(method=method, epochs=4, batch_size=4, accumulation=1, learning_rate=3e-3)
    settings = settings.model_copy(update={"precision": "float32"})
    inner, whole = make_trainable(model, method)

    def leads() -> list[float]:
        with torch.no_grad():
            each = [logprob(whole, row).item() for row in rows]
        return [each[i] - each[i + 1] for i in range(0, len(each), 2)]

    before = leads()
    watch = Watch(lambda step, steps, loss, tokens: losses.append((steps, loss, tokens)), threading.Event())
    train_rows(inner, whole, Rows(rows, desired=(True, False) * 6), settings, 3, watch, Share(), objective)
    assert all(now > was for now, was in zip(leads(), before, strict=True))
    assert losses[-1][1] < losses[0][1]
    assert losses[0][0] == len(losses) == 12  # twelve rows are three batches of four, in pairs or not
    assert losses[-1][2] == 4 * sum(len(ids) for ids, _ in rows)


def test_pairs_stay_together_in_batches() -> None:
    settings = TrainSettings(batch_size=4)
    assert len(Batches([5] * 6, settings, 0, width=2)) == 3
    assert sorted(len(batch) for batch in Batches([5] * 5, settings, 0, width=2)) == [1, 2, 2]
