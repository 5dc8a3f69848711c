import re

import pytest
import torch
from torch import Tensor, nn

from backaudit.nets.architectures.candidate import Candidate
from backaudit.nets.torchvision_models import torchvision_models
from backaudit.nets.transformers_models import transformers_candidates

State = dict[str, Tensor]


def resnet_names(state: State) -> State:
    """A torchvision ResNet's tensors under the names that transformers gives them."""
    table = (
        (r"^conv1", "resnet.embedder.embedder.convolution"),
        (r"^bn1", "resnet.embedder.embedder.normalization"),
        (r"^fc", "classifier.1"),
        (r"downsample\.0", "shortcut.convolution"),
        (r"downsample\.1", "shortcut.normalization"),
    )
    renamed = {}
    for original, tensor in state.items():
        name = original
        for pattern, replacement in table:
            name = re.sub(pattern, replacement, name)
        if place := re.match(r"layer(\d)\.(\d)\.(?:(conv|bn)(\d))?", name):
            stage, block, kind, number = place.groups()
            rest = name[place.end() :]
            inner = ""
            if kind:
                inner = f"layer.{int(number) - 1}." + (
                    "convolution" if kind == "conv" else "normalization"
                )
            name = f"resnet.encoder.stages.{int(stage) - 1}.layers.{block}.{inner}{rest}"
        renamed[name] = tensor
    return renamed


def vit_names(state: State, start: str) -> State:
    table = (
        (r"^class_token", "embeddings.cls_token"),
        (r"^encoder\.pos_embedding", "embeddings.position_embeddings"),
        (r"^conv_proj", "embeddings.patch_embeddings.projection"),
        (r"^encoder\.ln", "layernorm"),
        (r"encoder\.layers\.encoder_layer_(\d)", r"encoder.layer.\1"),
        (r"ln_1", "layernorm_before"),
        (r"ln_2", "layernorm_after"),
        (r"self_attention\.out_proj", "attention.output.dense"),
        (r"mlp\.0", "intermediate.dense"),
        (r"mlp\.3", "output.dense"),
    )
    renamed = {}
    for original, tensor in state.items():
        name = original
        for pattern, replacement in table:
            name = re.sub(pattern, replacement, name)
        if "in_proj_" in name:
            for part, key in zip(tensor.chunk(3), ("query", "key", "value"), strict=True):
                own = f"attention.attention.{key}."
                renamed[start + name.replace("self_attention.in_proj_", own)] = part
        elif name.startswith("heads.head"):
            renamed[name.replace("heads.head", "classifier")] = tensor
        else:
            renamed[start + name] = tensor
    return renamed


def shapes_of(state: State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def filled(candidate: Candidate, state: State) -> nn.Module:
    network = candidate.build()
    assert candidate.renamed is not None
    network.load_state_dict(candidate.renamed(state))
    return network.eval()


def tiny_vit() -> nn.Module:
    network: nn.Module = torchvision_models().VisionTransformer(
        image_size=16, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=48,
        num_classes=5, norm_layer=lambda width: nn.LayerNorm(width, eps=1e-12),
    )  # fmt: skip
    nn.init.normal_(network.heads.head.weight)
    return network.eval()


@torch.no_grad()
def test_resnet() -> None:
    network = torchvision_models().resnet18(num_classes=5).eval()
    state = resnet_names(network.state_dict())
    found = {each.name: each for each in transformers_candidates(shapes_of(state), {})}
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(filled(found["resnet18"], state)(images), network(images))


@pytest.mark.parametrize("start", ["vit.", "deit.", ""])
@torch.no_grad()
def test_vit(start: str) -> None:
    network = tiny_vit()
    state = vit_names(network.state_dict(), start)
    config = {"num_attention_heads": 4, "layer_norm_eps": 1e-12}
    (candidate,) = transformers_candidates(shapes_of(state), config)
    assert candidate.name == "vit(layers=2, width=32, patch=8)"
    assert (candidate.input_size, candidate.assumption) == (16, "")
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(filled(candidate, state)(images), network(images))


@torch.no_grad()
def test_second_token_of_a_distilled_network() -> None:
    state = vit_names(tiny_vit().state_dict(), "deit.")
    positions = state["deit.embeddings.position_embeddings"]
    state["deit.embeddings.position_embeddings"] = torch.cat((positions, positions[:, :1]), 1)
    state["deit.embeddings.distillation_token"] = torch.ones(1, 1, 32)
    (candidate,) = transformers_candidates(shapes_of(state), {"num_attention_heads": 4})
    assert candidate.input_size == 16
    network = filled(candidate, state)
    images = torch.rand(2, 3, 16, 16)
    before = network(images)
    assert before.shape == (2, 5)
    network.get_parameter("class_token")[:, 1] += torch.arange(32)
    assert not torch.allclose(network(images), before)


def test_heads_are_assumed_where_no_configuration_tells() -> None:
    state = vit_names(tiny_vit().state_dict(), "vit.")
    (candidate,) = transformers_candidates(shapes_of(state), {})
    assert "1 heads" in candidate.assumption


def test_other_activations_are_not_taken_for_the_usual_one() -> None:
    state = vit_names(tiny_vit().state_dict(), "vit.")
    assert list(transformers_candidates(shapes_of(state), {"hidden_act": "relu"})) == []
