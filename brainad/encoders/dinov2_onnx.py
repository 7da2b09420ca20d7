"""Turn the DINOv2 ViT-S/14 backbone inside an ONNX graph into a transformers model folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import save

CONFIG = {
    "architectures": ["Dinov2Model"],
    "model_type": "dinov2",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "image_size": 518,
    "patch_size": 14,
    "num_channels": 3,
    "qkv_bias": True,
    "layerscale_value": 1.0,
    "use_swiglu_ffn": False,
    "use_mask_token": False,
    "dtype": "float32",
}
_PREFIX = "backbone."
_NODE_PREFIX = "/backbone/"
_ANONYMOUS = "onnx::"


def write_backbone(graph_bytes: bytes, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` of the backbone into an existing folder.

    The same graph gives the same bytes: tensors are stored as they are, in float32.
    """
    tensors = read_backbone(onnx.load_model_from_string(graph_bytes))
    content = save(tensors, metadata={"format": "pt"})
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")


def read_backbone(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Return the backbone's tensors under the names that published DINOv2 checkpoints use.

    The exporter kept biases, norms and the patch projection under their own names. It folded
    the linear weights into nameless constants, transposed, and split the position embeddings
    into a nameless class row and nameless patch rows; those are found through the nodes that
    read them.
    """
    constants = {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in model.graph.initializer
    }
    tensors = {
        name.removeprefix(_PREFIX): array
        for name, array in constants.items()
        if name.startswith(_PREFIX)
    }
    positions = []
    for node in model.graph.node:
        nameless = [constants[i] for i in node.input if i.startswith(_ANONYMOUS) and i in constants]
        if not nameless or not node.name.startswith(_NODE_PREFIX):
            continue
        if node.op_type == "MatMul":
            tensors[_weight_name(node.name)] = np.ascontiguousarray(nameless[0].T)
        else:
            positions.append(nameless[0])
    positions.sort(key=lambda rows: rows.shape[1])
    tensors["embeddings.position_embeddings"] = np.concatenate(positions, axis=1)
    return tensors


def _weight_name(node_name: str) -> str:
    """``/backbone/encoder/layer.0/mlp/fc1/MatMul`` → ``encoder.layer.0.mlp.fc1.weight``."""
    path = node_name.removeprefix(_NODE_PREFIX).removesuffix("/MatMul")
    return path.replace("/", ".") + ".weight"
