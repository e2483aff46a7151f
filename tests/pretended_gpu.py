"""A plug-in of pytest that pretends to see a GPU, of which nothing can be had: -p pretended_gpu"""

from __future__ import annotations

import os

import torch

os.environ["CUDA_VISIBLE_DEVICES"] = "99"  # there may be one, but none with this number
for backend in (torch.cuda, torch.mps, torch.xpu):
    backend.is_available = lambda: True  # type: ignore[attr-defined]
torch.cuda.device_count = lambda: 1
torch.cuda.get_device_capability = lambda device=None: (9, 0)  # noqa: ARG005 - its name
