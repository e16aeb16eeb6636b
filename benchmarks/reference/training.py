"""Plain training of a causal language model on the weights that saveModel wrote: forward and full backward, no optimizer.

Batches are padded as people pad them: in the given order, to their longest row, with an attention mask and no loss on padding.
"""
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM

from protocol import clock, serve

state = {}
no_target = -100


def load(directory, dtype):
    state["model"] = AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(torch, dtype)).eval()  # no dropout
    return {}


def padded(rows):
    """ids, mask and labels, [row, longest]."""
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row), dtype=torch.long) for row in rows], batch_first=True)
    return ids, mask, ids.masked_fill(mask == 0, no_target)


def train(rows, size):
    """One step per batch of `size` rows; the sum of all token losses."""
    model, total = state["model"], 0.0
    with clock() as seconds:
        for begin in range(0, len(rows), size):
            ids, mask, labels = padded(rows[begin : begin + size])
            model.zero_grad(set_to_none=True)
            loss = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
            loss.backward()
            total += loss.item() * (labels[:, 1:] != no_target).sum().item()
    return {"seconds": seconds[0], "loss": total}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    serve({"torch": torch.__version__, "transformers": transformers.__version__}, {"load": load, "train": train})
