"""TorchScript, followed statement by statement without torch's own interpreter."""
