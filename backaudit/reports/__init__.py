"""Reports: what was found, as text; they decide nothing. ``formats`` lists those of an audit."""
