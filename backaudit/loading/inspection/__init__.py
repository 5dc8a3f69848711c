"""All that can be told of a checkpoint without running it."""
