"""One method on one model with one seed: what it gets, and the file of what it said."""
