"""The contract tests of objectives. To test an objective, derive a test class with a fixture `objective`.

class TestMine(ObjectiveContract):
    @pytest.fixture
    def objective(self): return Mine()
"""

from __future__ import annotations

from backends.objectives import Objective, Preferences


class ObjectiveContract:
    """Tests of the loss, its direction and its weights. They need torch and a fixture `objective`."""

    def test_each_unit_has_a_finite_loss(self, objective: Objective) -> None:
        """A unit is a pair, or a reply without pairs."""
        loss = objective.loss(_batch(objective))
        assert loss.shape == (4 if objective.contrast == "pair" else 8,)
        assert bool(loss.isfinite().all())

    def test_it_prefers_what_is_desired(self, objective: Objective) -> None:
        """A step against the gradient makes no desired reply less likely, and no undesired one more likely."""
        batch = _batch(objective)
        objective.loss(batch).sum().backward()  # type: ignore[no-untyped-call]
        slope = batch.gains.grad if objective.contrast else batch.surprise.grad
        assert slope is not None
        assert bool((slope[batch.desired] <= 0).all() if objective.contrast else (slope >= 0).all())
        assert bool((slope[~batch.desired] >= 0).all())
        assert bool((slope != 0).any())

    def test_weights_are_factors(self, objective: Objective) -> None:
        """A row of twice the weight has twice the loss."""
        import torch

        assert torch.allclose(objective.loss(_batch(objective, 2.0)), 2 * objective.loss(_batch(objective)))

    def test_it_is_plain_data(self, objective: Objective) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert type(objective).model_validate_json(objective.model_dump_json(exclude_unset=True)) == objective


def _batch(objective: Objective, weight: float = 1.0) -> Preferences:
    """Return eight replies, of which every second one is undesired where the objective has such replies."""
    import torch

    gains = torch.tensor([0.5, -0.5, -1.0, 2.0, 0.0, 0.0, 3.0, 1.0], requires_grad=True)
    surprise = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 1.0, 0.2, 4.0], requires_grad=True)
    desired = torch.tensor([True, not objective.contrast] * 4)
    drift = torch.tensor(0.3) if objective.measures_drift else None
    return Preferences(gains, surprise, desired, torch.full((8,), weight), drift)
