"""From a suspect and clean images to a repaired checkpoint, and the proof of what it cost."""
