"""Where a stage computes."""

from __future__ import annotations

import torch

from ..data.errors import ConfigError


def pick_device(wish: str) -> torch.device:
    """Device for a setting; "auto" is cuda where there is one.

    Raises:
        ConfigError: if cuda is asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = 'cuda', but torch finds no CUDA device: use device = 'auto' or 'cpu'")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")


def pick_devices(wish: str) -> list[torch.device]:
    """All devices for a setting: every CUDA device of the machine, or the processor.

    Raises:
        ConfigError: if cuda is asked for and there is none.
    """
    if pick_device(wish).type == "cuda":
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [torch.device("cpu")]


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes bfloat16 in hardware; elsewhere it is emulated, and slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
