"""What the weights in a file say about the network, told from names and shapes alone."""

from backaudit.core.errors import CheckpointError
from backaudit.files.contents import Survey
from backaudit.loading.clean_images.class_names import class_names_in
from backaudit.loading.inspection.graph_figures import image_size
from backaudit.loading.inspection.outlook import Architecture, Certainty, Outlook
from backaudit.loading.preparation.conventions import stated_in
from backaudit.loading.recognition.fitting import likely_classes
from backaudit.loading.recognition.nearest import nearest
from backaudit.loading.recognition.recognise import recognise_names
from backaudit.loading.recognition.recognised import Fit
from backaudit.loading.weights.checkpoint import Checkpoint, outline

COLOURS = 3


def outlook(survey: Survey) -> Outlook:
    """Recognise the network and read what the file says about classes and images.

    Raises:
        CheckpointError: if there are no weights in the file.
    """
    checkpoint = outline(survey)
    fits = recognise_names(checkpoint)
    if checkpoint.program is not None:
        # The graph says what a chain's shapes leave open.
        fits = tuple(fit for fit in fits if fit.exact)
    classes = fits[0].num_classes if fits else likely_classes(checkpoint.state)
    channels = fits[0].in_channels if fits else COLOURS
    stated = stated_in(checkpoint.metadata, channels)
    names = class_names_in(checkpoint.metadata, classes) if classes else None
    # A survey's own notes are shown beside these.
    own = [note for note in checkpoint.notes if note not in survey.contents.notes]
    return Outlook(
        wrapper=checkpoint.wrapper,
        prefix=checkpoint.prefix,
        weights=len(checkpoint.state),
        architecture=_architecture(checkpoint, fits),
        num_classes=classes,
        image_size=image_size(checkpoint.program) or stated.size,
        usual_size=fits[0].input_size if fits else None,
        class_names=names.names if names else (),
        mean=stated.mean or (),
        std=stated.std or (),
        metadata=checkpoint.metadata,
        notes=(*own, *(fits[0].assumptions if fits else ())),
    )


def _architecture(checkpoint: Checkpoint, fits: tuple[Fit, ...]) -> Architecture:
    graph = checkpoint.program is not None
    if graph and not fits:
        return Architecture(Certainty.GRAPH)
    if fits:
        first, *others = fits
        named = Certainty.EXACT if first.exact else Certainty.CHAIN
        return Architecture(
            Certainty.GRAPH if graph else named,
            first.architecture,
            tuple(fit.architecture for fit in others),
            layers=tuple(type(module).__name__ for module in first.network.modules()),
        )
    found = nearest(checkpoint)
    if found is None:
        return Architecture(differs="the tensors are like no network that is known here")
    compared = found.comparison
    agree = f"{compared.agreeing} of {compared.total} tensors agree"
    return Architecture(
        Certainty.NEAREST, found.candidate.name, differs=f"{agree}; {compared.describe()}"
    )


def skeleton_of(survey: Survey) -> str:
    """A definition of the network with the shapes of its layers, as a start for ``--model-def``.

    Raises:
        CheckpointError: if there are no weights in the file, or a definition is of no use.
    """
    if survey.contents.program is not None:
        raise CheckpointError("the file holds its own graph, so that no definition is needed.")
    from backaudit.loading.recognition.skeletons import skeleton

    return skeleton(outline(survey))
