"""ONNX graphs -> differentiable torch modules, checked against ONNX's own evaluator."""

from backaudit.programs.onnx.evaluation import verify
from backaudit.programs.onnx.network import build

__all__ = ["build", "verify"]
