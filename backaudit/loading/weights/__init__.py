"""From a survey to named tensors, made in a process of their own."""
