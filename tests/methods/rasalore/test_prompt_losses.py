from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from brainad.methods.rasalore.prompt_losses import (
    Logits,
    class_aware_loss,
    guided_loss,
    tuning_loss,
)

LABELS = torch.tensor([1, 0])


def test_only_the_row_of_the_true_class_counts() -> None:
    auxiliary = torch.randn(2, 2, 2)
    expected = (
        F.cross_entropy(auxiliary[0, 1], LABELS[0]) + F.cross_entropy(auxiliary[1, 0], LABELS[1])
    ) / 2
    assert class_aware_loss(auxiliary, LABELS).item() == pytest.approx(expected.item())
    changed = auxiliary.clone()
    changed[0, 0] += 3
    assert torch.equal(class_aware_loss(changed, LABELS), class_aware_loss(auxiliary, LABELS))


def test_losses_are_weighted_sums() -> None:
    both, text, visual = torch.randn(3, 2, 2)
    auxiliary = torch.randn(2, 2, 2)
    parts = [F.cross_entropy(logits, LABELS) for logits in (both, text, visual)]
    extra = class_aware_loss(auxiliary, LABELS)
    guided = guided_loss(Logits(both, text, visual), auxiliary, LABELS, 0.3)
    expected = 0.1 * parts[0] + parts[1] + parts[2] + 0.3 * extra
    torch.testing.assert_close(guided, expected)
    torch.testing.assert_close(tuning_loss(both, auxiliary, LABELS, 0.3), parts[0] + 0.3 * extra)
