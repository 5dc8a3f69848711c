"""New weights into a copy of a suspect's file, everything else byte for byte as it was."""
