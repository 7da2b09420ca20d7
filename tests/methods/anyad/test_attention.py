from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from brainad.methods.anyad.attention import (
    NORM_EPSILON,
    Mlp,
    PrototypeDecoderBlock,
    PrototypeExtractor,
)
from tests.methods.anyad.golden_arrays import close, close_gradient, golden, parameters, tensor


def _norm(values: np.ndarray, norm: nn.LayerNorm) -> np.ndarray:
    centred = values - values.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(values.var(-1, keepdims=True) + norm.eps)
    normed: np.ndarray = scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    return normed


def _linear(values: np.ndarray, layer: nn.Linear) -> np.ndarray:
    mapped: np.ndarray = values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    return mapped


def test_the_extractor_agrees_with_the_published_one() -> None:
    arrays = golden("inp_extractor")
    assert float(arrays["ln_eps"]) == NORM_EPSILON
    start = tensor(arrays["proto_in"], needs_grad=True)
    feats = tensor(arrays["feats"], needs_grad=True)
    extractor = PrototypeExtractor(feats.shape[-1], int(arrays["num_heads"]))
    extractor.load_state_dict(parameters(arrays, "param."))
    out = extractor(start, feats)
    close(out, arrays["proto_out"])
    (out * tensor(arrays["upstream"])).sum().backward()
    close_gradient(start.grad, arrays["grad_proto_in"])
    close_gradient(feats.grad, arrays["grad_feats"])


def test_the_decoder_block_agrees_with_the_published_one() -> None:
    arrays = golden("prototype_block")
    x, proto = (tensor(arrays[name], needs_grad=True) for name in ("x", "proto"))
    block = PrototypeDecoderBlock(x.shape[-1], int(arrays["num_heads"]))
    block.load_state_dict(parameters(arrays, "param."))
    out = block(x, proto)
    close(out, arrays["out"])
    query, key, _ = block.attn.split(block.norm1(x), block.norm1(proto))
    close(block.attn.weights(query, key), arrays["attn"])
    (out * tensor(arrays["upstream"])).sum().backward()
    close_gradient(x.grad, arrays["grad_x"])
    close_gradient(proto.grad, arrays["grad_proto"])
    close_gradient(block.attn.learn_scale.grad, arrays["grad_learn_scale"])


def test_the_bottleneck_agrees_with_the_published_one() -> None:
    arrays = golden("bottleneck_mlp")
    bottleneck = Mlp(arrays["x"].shape[-1])
    bottleneck.load_state_dict(parameters(arrays, "param."))
    close(bottleneck(tensor(arrays["x"])), arrays["out"])


def test_the_decoder_block_follows_its_equation_token_by_token() -> None:
    torch.manual_seed(0)
    heads, width = 3, 12
    block = PrototypeDecoderBlock(width, heads)
    with torch.no_grad():
        block.attn.learn_scale.uniform_(0.5, 2)
    x, proto = torch.randn(2, 5, width), torch.randn(2, 4, width)
    size = width // heads
    rebuilt = np.zeros((2, 5, width), dtype=np.float32)
    for image in range(2):
        queries = _linear(_norm(x[image].numpy(), block.norm1), block.attn.q)
        both = _linear(_norm(proto[image].numpy(), block.norm1), block.attn.kv)
        keys, values = both[:, :width], both[:, width:]
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scale = float(block.attn.learn_scale[head])
            for token in range(5):
                q = queries[token, part] / np.linalg.norm(queries[token, part])
                for k, v in zip(keys[:, part], values[:, part], strict=True):
                    weight = max(scale * float(q @ k) / float(np.linalg.norm(k)), 0.0)
                    rebuilt[image, token, part] += weight * v
    joined = torch.from_numpy(_linear(rebuilt, block.attn.proj))
    expected: Tensor = joined + block.mlp(block.norm2(joined))
    close(block(x, proto), expected.detach().numpy(), atol=1e-5)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    extractor, block = PrototypeExtractor(12, 2), PrototypeDecoderBlock(12, 2)
    start, tokens = torch.randn(3, 12), torch.randn(4, 7, 12)
    together = block(tokens, extractor(start, tokens))
    alone = block(tokens[1:2], extractor(start, tokens[1:2]))
    close(alone, together[1:2].detach().numpy(), atol=1e-6)
