"""The nouns of an audit; imports nothing above torch and the standard library."""
