"""Clean images: where they lie, how they are decoded, which classes they are of."""
