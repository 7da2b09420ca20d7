from __future__ import annotations

import numpy as np
import pytest
import torch

from brainad.methods.anyad.losses import (
    alignment_loss,
    consistency_loss,
    cosine_distance,
    mining_weights,
    nearest_distance,
    reconstruction_loss,
    scale_gradient,
    token_moments,
)
from tests.methods.anyad.golden_arrays import as_maps, close, close_gradient, golden, tensor, tokens


def test_consistency_agrees_with_the_published_loss() -> None:
    arrays = golden("inp_consistency_loss")
    feats, protos = (tensor(arrays[name], needs_grad=True) for name in ("feats", "protos"))
    close(nearest_distance(feats, protos), arrays["distance"])
    loss = consistency_loss(feats, protos)
    close(loss, arrays["loss"])
    loss.backward()
    close_gradient(protos.grad, arrays["grad_protos"])
    close_gradient(feats.grad, arrays["grad_feats"])


@pytest.mark.parametrize(("tag", "hardness"), [("g3", 3.0), ("g1", 1.0), ("g0", 0.0)])
def test_reconstruction_agrees_with_the_published_loss(tag: str, hardness: float) -> None:
    arrays = golden("adaptive_rec_loss")
    groups = [(tokens(arrays[f"en{i}"]), tokens(arrays[f"de{i}"], True)) for i in (0, 1)]
    terms = [reconstruction_loss(target, rebuilt, hardness) for target, rebuilt in groups]
    loss = (terms[0] + terms[1]) / 2
    close(loss, arrays[f"loss_{tag}"])
    loss.backward()
    for number, (target, rebuilt) in enumerate(groups):
        assert rebuilt.grad is not None
        expected = arrays[f"grad_de{number}_{tag}"]
        close_gradient(as_maps(rebuilt.grad, expected), expected)
        distance = cosine_distance(target, rebuilt)
        close(distance.flatten(), arrays[f"point_dist{number}"].ravel())
        if tag == "g3":
            weights = mining_weights(target, rebuilt, hardness)
            close(weights.flatten(), arrays[f"factor{number}_g3"].ravel(), rtol=1e-3)


def test_a_perfect_reconstruction_has_no_undefined_gradient() -> None:
    target = torch.ones(2, 3, 4)
    rebuilt = target.clone().requires_grad_()
    loss = reconstruction_loss(target, rebuilt, 3.0)
    loss.backward()
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert rebuilt.grad is not None
    assert bool(rebuilt.grad.isfinite().all())


def test_gradient_weights_stay_within_their_loss() -> None:
    values = torch.ones(3, requires_grad=True)
    weighted = scale_gradient(values, torch.tensor([0.0, 1.0, 5.0]))
    assert torch.equal(weighted, values)
    (weighted.sum() + values.sum()).backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 2.0, 6.0]


def test_alignment_agrees_with_the_published_loss() -> None:
    arrays = golden("dist_align_loss")
    reference = token_moments(tokens(arrays["full_feats"]))
    close(reference.mean, arrays["target_mean"])
    close(reference.std, arrays["target_std_unbiased"])
    current = tokens(arrays["cur_feats"], needs_grad=True)
    moments = token_moments(current)
    close(moments.mean, arrays["cur_mean"])
    close(moments.std, arrays["cur_std_unbiased"])
    loss = alignment_loss(moments, reference)
    close(loss, arrays["loss_code"])
    loss.backward()
    assert current.grad is not None
    close_gradient(as_maps(current.grad, arrays["grad_cur_code"]), arrays["grad_cur_code"])


def test_the_papers_variant_with_variances_is_the_same_sum() -> None:
    """The paper compares biased variances; it is kept here and not offered."""
    arrays = golden("dist_align_loss")
    current, reference = tokens(arrays["cur_feats"], True), tokens(arrays["full_feats"])
    flat, flat_reference = current.flatten(0, 1), reference.flatten(0, 1)
    loss = (flat.mean(0) - flat_reference.mean(0)).square().mean() + (
        flat.var(0, unbiased=False) - flat_reference.var(0, unbiased=False)
    ).square().mean()
    close(loss, arrays["loss_paper"])
    loss.backward()
    assert current.grad is not None
    close_gradient(as_maps(current.grad, arrays["grad_cur_paper"]), arrays["grad_cur_paper"])


def test_reconstruction_is_one_cosine_per_image(rng: np.random.Generator) -> None:
    target, rebuilt = (rng.standard_normal((3, 5, 4)).astype(np.float32) for _ in range(2))
    expected = 0.0
    for one, other in zip(target, rebuilt, strict=True):
        dot = sum(a * b for a, b in zip(one.ravel(), other.ravel(), strict=True))
        expected += (1 - dot / np.linalg.norm(one) / np.linalg.norm(other)) / 3
    found = reconstruction_loss(torch.from_numpy(target), torch.from_numpy(rebuilt), 3.0)
    assert float(found) == pytest.approx(expected, abs=1e-5)
