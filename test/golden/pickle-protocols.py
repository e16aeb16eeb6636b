"""A state dictionary as torch.save writes it in each protocol of pickle that it takes: test/golden/pickle-protocols/<protocol>.bin."""
from collections import OrderedDict
from pathlib import Path

import torch

folder = Path(__file__).parent / "pickle-protocols"
folder.mkdir(exist_ok=True)
state = OrderedDict(
    weight=torch.nn.Parameter(torch.arange(6, dtype=torch.float32).reshape(2, 3)),
    bias=torch.tensor([1, -2, 3], dtype=torch.bfloat16),
    mask=torch.tensor([1, 0, -1], dtype=torch.int8),
)
for protocol in range(2, 6):
    torch.save(state, folder / f"{protocol}.bin", pickle_protocol=protocol)
