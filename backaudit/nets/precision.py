"""When to compute in bfloat16."""

import torch


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on ``device``; elsewhere torch only emulates it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def fast_autocast(device: torch.device, *, wanted: bool = True) -> torch.autocast:
    """Compute in bfloat16 inside the block if ``wanted`` and the device is fast at it."""
    enabled = wanted and has_fast_bf16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
