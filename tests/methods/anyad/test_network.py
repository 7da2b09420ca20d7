from __future__ import annotations

import pytest
import torch

from brainad.methods.anyad.losses import consistency_loss
from brainad.methods.anyad.network import Reconstructor
from tests.methods.anyad.golden_arrays import as_maps, close, golden, parameters, tensor


def test_everything_after_the_encoder_agrees_with_the_published_model() -> None:
    arrays = golden("model_head")
    leading = 1 + int(arrays["num_register_tokens"])
    layers = tensor(arrays["tokens"])[:, :, leading:]
    half = layers.shape[0] // 2
    shallow, deep = layers[:half].mean(0), layers[half:].mean(0)
    count, width = arrays["prototypes"].shape
    network = Reconstructor(width, int(arrays["num_heads"]), count, blocks=8)
    state = {"prototypes": tensor(arrays["prototypes"]), **parameters(arrays, "param.")}
    network.load_state_dict(state)
    rebuilt = network(shallow, deep)
    for found, name in ((shallow, "en0"), (deep, "en1")):
        close(as_maps(found, arrays[name]), arrays[name])
    for found, name in ((rebuilt.shallow, "de0"), (rebuilt.deep, "de1")):
        close(as_maps(found, arrays[name]), arrays[name])
    close(consistency_loss(rebuilt.tokens, rebuilt.prototypes), arrays["g_loss"])


@pytest.mark.parametrize(
    ("width", "heads", "parameter_count"),
    [(384, 6, 17_154_096), (768, 12, 68_517_984), (1024, 16, 121_766_016)],
)
def test_it_is_as_large_as_the_published_model(
    width: int, heads: int, parameter_count: int
) -> None:
    with torch.device("meta"):
        network = Reconstructor(width, heads, prototypes=6, blocks=8)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameter_count


def test_it_starts_small_and_the_input_gets_no_gradient() -> None:
    torch.manual_seed(0)
    network = Reconstructor(16, 2, prototypes=3, blocks=4)
    for name, parameter in network.named_parameters():
        if name.endswith("weight") and parameter.ndim > 1:
            assert float(parameter.abs().max()) <= 0.03
            assert float(parameter.std()) == pytest.approx(0.01, rel=0.2)
        elif name.endswith("bias"):
            assert not parameter.any()
    shallow, deep = (torch.randn(2, 9, 16, requires_grad=True) for _ in range(2))
    rebuilt = network(shallow, deep)
    (rebuilt.shallow.sum() + rebuilt.deep.sum()).backward()
    assert shallow.grad is None
    assert deep.grad is None
    assert all(p.grad is not None for p in network.parameters())
