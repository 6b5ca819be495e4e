"""The losses of preference objectives: those of TRL 0.21.0 on the same log-probabilities, and the contract."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from backends.objectives import OBJECTIVES, Dpo, Kto, Objective, Preferences, Sft  # noqa: E402
from backends.objectives_contract import ObjectiveContract  # noqa: E402

CHOSEN = [-15.377012252807617, -20.880287170410156, -26.53636932373047, -18.294706344604492]
REJECTED = [-23.25356674194336, -24.195785522460938, -18.789958953857422, -17.485919952392578]
REF_CHOSEN = [-22.157772064208984, -21.21002960205078, -21.789905548095703, -19.453889846801758]
REF_REJECTED = [-22.570024490356445, -16.69818687438965, -23.21356201171875, -19.63189697265625]
"""Log-probabilities of whole replies, under the model and under the reference."""
DPO = [0.3880176544189453, 0.3764854967594147, 1.2532744407653809, 0.7437035441398621]
"""`DPOTrainer.dpo_loss` of TRL with beta 0.1 and loss type "sigmoid"."""
KTO = {
    0.0: (0.33669084, 0.49175721, 0.61648291, 0.47105283, 0.72437716, 0.48131052, 0.91323191, 0.83016676),
    0.8: (0.35478404, 0.51175427, 0.63521296, 0.49102139, 0.69446898, 0.45554379, 0.88441747, 0.80039799),
}
"""`KTOTrainer.kto_loss` of TRL with beta 0.1 and undesirable weight 1.5, by the estimated divergence."""


def gains() -> tuple[torch.Tensor, torch.Tensor]:
    chosen = torch.tensor(CHOSEN) - torch.tensor(REF_CHOSEN)
    return chosen, torch.tensor(REJECTED) - torch.tensor(REF_REJECTED)


def batch(values: torch.Tensor, desired: list[bool], drift: float | None = None) -> Preferences:
    surprise = torch.arange(1.0, len(values) + 1)
    given = None if drift is None else torch.tensor(drift)
    return Preferences(values, surprise, torch.tensor(desired), torch.ones(len(values)), given)


def test_dpo_is_that_of_trl() -> None:
    pairs = batch(torch.stack(gains(), 1).flatten(), [True, False] * 4)
    assert Dpo(beta=0.1, nll=0).loss(pairs).tolist() == pytest.approx(DPO, rel=1e-6)
    with_likelihood = Dpo(beta=0.1, nll=0.5).loss(pairs).tolist()
    assert with_likelihood == pytest.approx([loss + 0.5 * nll for loss, nll in zip(DPO, (1, 3, 5, 7), strict=True)])


@pytest.mark.parametrize("drift", KTO)
def test_kto_is_that_of_trl(drift: float) -> None:
    every = batch(torch.cat(gains()), [True] * 4 + [False] * 4, drift)
    assert Kto(beta=0.1, undesired=1.5).loss(every).tolist() == pytest.approx(KTO[drift], rel=1e-6)


EXAMPLES = [Sft(), Dpo(), Dpo(beta=0.5, nll=0), Kto(), Kto(undesired=2)]


@pytest.mark.parametrize("objective", EXAMPLES)
class TestObjectives(ObjectiveContract):
    pass


def test_the_contract_runs_on_each_kind() -> None:
    def kind(objective: Objective) -> str:
        return str(getattr(objective, "kind", ""))

    assert set(map(kind, EXAMPLES)) == set(OBJECTIVES)
