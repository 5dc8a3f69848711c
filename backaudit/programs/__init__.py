"""Graphs that files hold (TorchScript, torch.export, ONNX) -> differentiable torch modules."""
