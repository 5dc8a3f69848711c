import pytest
import torch
from torch import nn

from backaudit.attacks.steganography import Decoder, Encoder

SHAPES = [(1, 12, 12), (3, 13, 18), (3, 32, 32)]


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolution(before: int, after: int, side: int = 3) -> int:
    return (before * side**2 + 1) * after


def test_the_default_encoder_has_the_published_layers() -> None:
    down = [(6, 32), (32, 32), (32, 64), (64, 128), (128, 256)]
    up = [(256, 128), (128, 64), (64, 32), (32, 32)]
    join = [(256, 128), (128, 64), (64, 32), (70, 32)]
    expected = 21 * 32 * 32 * 3 + convolution(32, 3, 1)
    expected += sum(convolution(*layer) for layer in down + join)
    expected += sum(convolution(*layer, side=2) for layer in up)
    assert size(Encoder((3, 32, 32), bits=20)) == expected


def test_the_default_decoder_has_the_published_layers() -> None:
    look = [(3, 32), (32, 64), (64, 128)]
    read = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 64), (64, 128), (128, 128)]
    expected = sum(convolution(*layer) for layer in look + read)
    expected += (128 * 4 * 4 + 1) * 128 + 129 * 6 + 129 * 512 + 513 * 20
    assert size(Decoder((3, 32, 32), bits=20)) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_any_shape_carry_bits(shape: tuple[int, int, int]) -> None:
    images, bits = torch.rand(2, *shape), torch.ones(2, 5)
    added = Encoder(shape, bits=5, width=2)(images, bits)
    assert added.shape == images.shape
    assert Decoder(shape, bits=5, width=2)(images + added).shape == (2, 5)


def test_what_is_added_depends_on_the_image_and_on_the_bits() -> None:
    encoder = Encoder((3, 12, 12), bits=5, width=8)
    images, bits = torch.rand(2, 3, 12, 12), torch.zeros(2, 5)
    added = encoder(images, bits)
    assert not torch.allclose(added[0], added[1])
    assert not torch.allclose(encoder(images, 1 - bits), added)


def test_a_new_decoder_does_not_turn_images() -> None:
    decoder = Decoder((3, 12, 12), bits=5, width=2)
    placed = decoder.turn(decoder.look(torch.rand(4, 3, 12, 12)).flatten(1))
    assert torch.equal(placed, torch.tensor([1.0, 0, 0, 0, 1, 0]).expand(4, 6))
