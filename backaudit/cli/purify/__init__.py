"""backaudit purify: from a suspect to a repaired checkpoint."""
