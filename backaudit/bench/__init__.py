"""Does the tool work? Models whose truth is known, and what the methods say of them."""
