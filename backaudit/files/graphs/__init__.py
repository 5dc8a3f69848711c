"""Programs that files hold, as data; which operators they may use."""
