import json
import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from backaudit.core.errors import CalibrationError, NotApplicableError, SettingError
from backaudit.core.screening import Screened
from backaudit.firewall.calibration_file import CalibrationFile, digest_of, render_calibrations
from backaudit.firewall.guarded import GuardedNetwork, guard
from backaudit.firewall.screener import FittedScreener
from backaudit.nets.guard import untouched
from tests.firewall.guards import calibration, new_images, normalised, own_network, suspect_with
from tests.toy import toy_network


def wanted(network: nn.Module, images: Tensor) -> Screened:
    return FittedScreener.of(suspect_with(network), calibration().calibrations[0])(images)


def assert_same(guarded: GuardedNetwork, given: Tensor, right: Screened) -> None:
    logits, flagged = guarded(given)
    assert torch.equal(flagged, right.flagged)
    assert 0 < int(flagged.sum()) < len(flagged)
    assert torch.allclose(logits, right.logits, atol=1e-5)
    assert torch.allclose(guarded.screen(given).scores, right.scores, atol=1e-5)


def test_the_suspect_is_guarded_exactly_as_it_is_screened() -> None:
    network, images = own_network(), new_images()
    found = guard(suspect_with(network).network, calibration()).screen(images)
    right = wanted(network, images)
    assert torch.equal(found.logits, right.logits)
    assert torch.equal(found.scores, right.scores)
    assert torch.equal(found.flagged, right.flagged)


def test_a_network_of_ones_own_takes_what_it_took() -> None:
    network, images = own_network(), new_images()
    guarded = guard(network, calibration())
    assert guarded.about["takes"] == "normalised images"
    assert_same(guarded, normalised(images), wanted(network, images))


@pytest.mark.parametrize("behind", [False, True])
def test_normalise_makes_any_take_pixels(behind: bool) -> None:
    network, images = own_network(), new_images()
    given = suspect_with(network).network if behind else network
    guarded = guard(given, calibration(), normalise=True)
    assert guarded.about["takes"] == "images in [0, 1]"
    assert_same(guarded, images, wanted(network, images))


class Own(nn.Module):
    """Normalises itself, and has the names of the bare network all the same."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        for name, layer in network.named_children():
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        images = normalised(images)
        for layer in self.children():
            images = layer(images)
        return images


def test_a_network_that_normalises_by_itself_is_not_normalised_twice() -> None:
    network, images = own_network(), new_images()
    assert isinstance(network, nn.Sequential)
    guarded = guard(Own(network).eval(), calibration(), normalise=True)
    assert_same(guarded, images, wanted(network, images))


def test_the_prefix_is_computed_once() -> None:
    network, images = own_network(), normalised(new_images(8))
    guarded = guard(network, calibration())
    ran: list[int] = []
    network[0].register_forward_hook(lambda *call: ran.append(len(call[1][0])))
    guarded(images)
    assert ran == [8]
    counts = []
    for each in (guarded, network):
        with FlopCounterMode(display=False) as counter:
            each(images)
        counts.append(counter.get_total_flops())
    depths = calibration().calibrations[0].fit["depths"]
    assert counts[1] < counts[0] < (1 + len(depths)) * counts[1]


def test_the_network_is_shared_and_left_as_it_is() -> None:
    network = own_network()
    with untouched(network):
        guarded = guard(network, calibration(), normalise=True)
        guarded(new_images(3))
    own = {id(parameter) for parameter in network.parameters()}
    assert {id(parameter) for parameter in guarded.parameters()} == own
    assert not any(module.training for module in guarded.modules())


def test_weights_that_change_later_change_the_guarded_network() -> None:
    network, images = own_network(), normalised(new_images(4))
    guarded = guard(network, calibration())
    network[-1].bias.data += 3
    assert torch.allclose(guarded(images)[0], network(images), atol=1e-5)


def test_a_network_in_double_precision() -> None:
    network, images = own_network(), new_images()
    right = wanted(network, images)
    guarded = guard(network.double(), calibration())
    logits, flagged = guarded(normalised(images).double())
    assert logits.dtype == torch.float64
    assert torch.equal(flagged, right.flagged)


def test_a_network_in_training_mode_is_refused() -> None:
    network = own_network()
    network[1].train()
    with pytest.raises(SettingError, match=r"\(1\) is in training mode; call model.eval"):
        guard(network, calibration())


def test_another_network_is_refused() -> None:
    with pytest.raises(CalibrationError, match="does not answer as the calibrated one, toy"):
        guard(toy_network(seed=1), calibration())


def test_a_softmax_at_the_end_is_refused() -> None:
    with pytest.raises(CalibrationError, match="ends in a softmax"):
        guard(own_network().append(nn.Softmax(1).eval()), calibration())


def test_a_network_for_other_images_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r"does not take images of \(3, 12, 12\)"):
        guard(toy_network(channels=1), calibration())


def test_layers_of_other_names_are_refused() -> None:
    renamed = nn.Sequential(own_network()).eval()
    with pytest.raises(NotApplicableError, match=r"no layer '\d', which was calibrated"):
        guard(renamed, calibration())


def test_a_calibration_of_other_screeners_is_refused() -> None:
    whole = calibration()
    other = replace(whole.calibrations[0], method="strip")
    with pytest.raises(NotApplicableError, match=r"only ibd-psc shares.* is of strip"):
        guard(own_network(), CalibrationFile(whole.prepared, (other,)))


def test_what_was_calibrated_is_told() -> None:
    about = guard(own_network(), calibration()).about
    digest = re.search(r'"digest": "(\w{64})"', render_calibrations(calibration()))
    assert digest and about["calibration_digest"] == digest[1] == digest_of(calibration())
    assert about["checkpoint_sha256"] == "0" * 64
    assert float(about["threshold"]) == calibration().calibrations[0].threshold
    assert json.loads(about["class_names"])[2] == "class 2"
    assert json.loads(about["mean"]) == [0.4, 0.5, 0.6]
