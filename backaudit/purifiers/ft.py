"""FT: what does training on clean images alone repair?"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from backaudit.core.evidence import Rule
from backaudit.nets.stages import Stages
from backaudit.nets.training import Training
from backaudit.purifiers.finetuning import FEWEST, FineTuning
from backaudit.purifiers.interface import Measurements, Parts


@dataclass(frozen=True)
class FT:
    """Fine-tuning: training goes on with clean images.

    A network forgets what it is no longer shown. Nothing makes it forget the backdoor, which clean
    images do not wake, so that this is what other methods are compared with.

    Score: none; it reports the accuracy on the validation images, in [0, 1].
    Needs: 20 clean images, better 500.
    Blind to: most backdoors: where their neurons take no part in clean predictions, no gradient
        reaches them.
    Differs from the official code: the mean of the last states is kept, unless it is worse on
        validation images than one of them, in place of the best one on test images, and training
        stops early; few images come in smaller batches, several times an epoch; batch-norm
        statistics are recalibrated on the clean images; images are mirrored only if the network
        knows them as well when they are; borders are reflected, and not black.
    Paper: a baseline without a paper of its own; settings as in Wu et al., BackdoorBench, NeurIPS
        2022, https://arxiv.org/abs/2206.12654.

    Args:
        epochs: passes over the clean images; few images make several passes an epoch.
        learning_rate: at the start; it falls to zero along a cosine.
        batch_size: images a step, if there are 2,500; fewer make as many steps, of 32 or more.
        weight_decay: of every weight.
        patience: after so many epochs without a better validation accuracy, from the middle on, it
            ends.
        recalibrate: whether it closes with a recalibration of the batch-norm statistics.
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule("BA403", "ft", "Does training on clean images repair it?")

    epochs: int = 100
    learning_rate: float = 0.01
    batch_size: int = 256
    weight_decay: float = 5e-4
    patience: int = 10
    recalibrate: bool = True
    bf16: bool = True

    @property
    def fewest_images(self) -> int:
        """Enough for the statistics of a batch."""
        return FEWEST

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Fine-tune ``network`` in place on ``parts.fit``.

        Raises:
            NotApplicableError: if there are too few images.
            DivergedError: if a loss or a weight became NaN or infinite.
        """
        return self.tuning().run(network, parts, seed=seed, stages=stages)

    def tuning(self, name: str = rule.name) -> FineTuning:
        """The fine-tuning with these settings, as other methods contain it.

        Args:
            name: of the method, for those who watch the progress.
        """
        training = Training(
            self.epochs,
            self.learning_rate,
            self.batch_size,
            self.weight_decay,
            bf16=self.bf16,
            schedule="cosine",
            nesterov=False,
        )
        return FineTuning(training, self.patience, self.recalibrate, name)
