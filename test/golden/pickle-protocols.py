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

# What checkpoints hold beside weights, as an archive and in the format of before PyTorch 1.6.
table = torch.arange(12, dtype=torch.float32)
mixed = OrderedDict(
    table=table.view(3, 4),
    rows=table[4:10].view(2, 3),
    expanded=torch.tensor([[True]]).expand(5, 7),
    turned=table.view(3, 4).t(),
    positions=torch.arange(5).expand(1, -1),
    count=torch.tensor(7, dtype=torch.int32),
    empty=torch.zeros(0, 3),
)
torch.save(mixed, folder / "mixed.bin")
for protocol in (2, 4):
    torch.save(mixed, folder / f"legacy-{protocol}.bin", pickle_protocol=protocol, _use_new_zipfile_serialization=False)
