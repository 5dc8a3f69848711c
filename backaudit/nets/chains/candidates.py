"""What given shapes could be as a plain chain."""

from functools import partial

from backaudit.nets.architectures.candidate import Candidate
from backaudit.nets.chains.filling import Filling, geometries
from backaudit.nets.chains.network import ChainNetwork
from backaudit.nets.chains.reading import Chain


def usual_filling(chain: Chain) -> Filling:
    """The most usual filling; one for 32 pixels that averages the rest if no size works out."""
    found = geometries(chain)
    if found:
        return found[0]
    convs = chain.convs
    in_channels = convs[0].layer.inputs if convs else 1
    return Filling(in_channels, 32, same=True, reduced=(False,) * len(convs), pooled=True)


def chain_candidate(chain: Chain) -> Candidate:
    """The chain, filled in as is most usual."""
    filling = usual_filling(chain)
    name = f"chain({chain.describe()})"
    return Candidate(name, partial(ChainNetwork, chain, filling), filling.size)
