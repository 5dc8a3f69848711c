import pytest
import torch
from torch import Tensor

from backaudit.attacks.generators import DrawnTrigger, Generator, masked, sameness
from tests.toy import draw_images


def floats(count: int, seed: int = 0) -> Tensor:
    return draw_images(2, seed)[0][:count] / 255


def test_the_default_generator_has_the_published_layers() -> None:
    layers = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 128)]
    layers += [(128, 128), (128, 64), (64, 64), (64, 32), (32, 32), (32, 3)]
    expected = sum(9 * before * after + 3 * after for before, after in layers)
    generator = Generator(3, 3)
    assert sum(parameter.numel() for parameter in generator.parameters()) == expected
    norms = [module for module in generator.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [after for _, after in layers]
    assert {norm.momentum for norm in norms} == {0.05}


@pytest.mark.parametrize("shape", [(8, 8), (12, 12), (13, 18), (32, 32)])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_drawn_is_as_large_as_the_image(channels: int, shape: tuple[int, int]) -> None:
    drawn = Generator(channels, 2, width=4)(torch.rand(3, channels, *shape)).detach()
    assert drawn.shape == (3, 2, *shape)
    assert 0 <= float(drawn.min()) < float(drawn.max()) <= 1


def test_what_is_drawn_goes_both_ways_from_grey() -> None:
    generator = Generator(3, 1, width=2)
    with torch.no_grad():
        drawn = generator(torch.rand(4, 3, 16, 16))
    assert float(drawn.min()) < 0.5 < float(drawn.max())


def test_masks_are_driven_apart_from_a_half() -> None:
    drawn = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    mask = masked(torch.nn.Identity(), drawn)
    assert torch.allclose(mask, torch.sigmoid(40 * drawn - 20), atol=1e-6)


def test_a_trigger_covers_the_image_where_its_mask_is() -> None:
    images, patterns = torch.full((1, 1, 1, 3), 0.2), torch.full((1, 1, 1, 3), 0.8)
    triggered = DrawnTrigger.applied(images, patterns, torch.tensor([[[[0.0, 0.5, 1.0]]]]))
    assert torch.allclose(triggered, torch.tensor([[[[0.2, 0.5, 0.8]]]]))


def test_a_stamped_image_is_rounded_and_has_its_own_trigger() -> None:
    trigger, images = DrawnTrigger(3, 2, 1).eval(), draw_images(1, 0)[0]
    with torch.no_grad():
        inputs = images / 255
        expected = 255 * trigger.applied(inputs, trigger.pattern(inputs), trigger.masks(inputs))
    stamped = trigger.stamped(images)
    assert stamped.dtype == torch.uint8
    assert (stamped - expected).abs().max() < 0.51


def test_weights_go_out_and_in_again() -> None:
    first, second = DrawnTrigger(3, 2, 1, seed=1).eval(), DrawnTrigger(3, 2, 1, seed=2).eval()
    images = draw_images(1, 0)[0]
    assert not torch.equal(first.stamped(images), second.stamped(images))
    learned = dict(first.learned())
    assert {name.split(".")[0] for name in learned} == {"pattern", "mask"}
    second.load_state_dict(learned)
    assert torch.equal(first.stamped(images), second.stamped(images))


def test_sameness_is_the_ratio_of_root_mean_square_distances() -> None:
    images, drawn = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    others = torch.stack([torch.full((3, 4, 4), 0.5), torch.full((3, 4, 4), 0.1)])
    drawn_for_others = torch.stack([torch.full((1, 4, 4), 0.25), torch.full((1, 4, 4), 0.2)])
    ratio = float(sameness(images, others, drawn, drawn_for_others))
    assert ratio == pytest.approx((0.5 / 0.25 + 0.1 / 0.2) / 2, rel=1e-5)


def test_an_image_compared_with_itself_neither_counts_nor_breaks_the_gradient() -> None:
    images = floats(3)
    drawn = torch.rand(3, 1, 12, 12, requires_grad=True)
    loss = sameness(images, images, drawn, drawn)
    (gradient,) = torch.autograd.grad(loss, drawn)
    assert float(loss.detach()) == 0
    assert (gradient == 0).all()
