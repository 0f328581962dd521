"""What is frozen is what serves: its weights, its statistics, and no chance in it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vretrver.training.weights import choose_trained

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")


def test_a_frozen_tower_stays_in_evaluation() -> None:
    model = torch.nn.Module()
    model.vision_tower = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5), torch.nn.Linear(3, 3))
    model.projector = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.5))
    model.language = torch.nn.Linear(3, 3)
    model.config = SimpleNamespace(model_type="none")
    seen = torch.arange(12.0).view(4, 3)
    model.eval()
    before = model.vision_tower(seen)
    model.train()
    assert not torch.equal(model.vision_tower(seen), before)  # this is what would be trained on
    model.vision_tower[0].reset_running_stats()
    choose_trained(model, vision=False, projector=True)
    for _step in range(2):
        model.train()
        assert torch.equal(model.vision_tower(seen), before) and model.projector[1].training and model.training
        model.eval()
        assert torch.equal(model.vision_tower(seen), before) and not model.projector[1].training
    assert model.vision_tower[0].running_mean.tolist() == [0.0] * 3
    assert [one.requires_grad for one in model.vision_tower.parameters()] == [False] * 4
    torch.manual_seed(0)
    assert not model.vision_tower.train().training


def test_a_tuned_tower_normalises_as_it_serves() -> None:
    model = torch.nn.Module()
    model.vision_tower = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3))
    model.projector, model.language = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    model.config = SimpleNamespace(model_type="none")
    seen = torch.arange(12.0).view(4, 3)
    served = model.eval().vision_tower(seen)
    choose_trained(model, vision=True, projector=True)
    model.train()
    trained = model.vision_tower(seen)
    assert torch.equal(trained, served) and model.vision_tower[1].training
    trained.sum().backward()
    assert all(one.grad is not None for one in model.vision_tower.parameters())
    assert model.vision_tower[0].running_mean.tolist() == [0.0] * 3
