"""From named tensors to the network they belong to."""
