"""Projected per-instance gradients by bergson and dattri on the weights that saveModel wrote: all linear layers of the blocks, rank 16 × 16.

Weights are frozen, and the embedding's output starts the graph, as bergson's own builder does it. Rows are sorted by length and packed
to a token budget; each peer runs with the budget that suits it best.
"""
import logging
import pathlib
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM

from protocol import clock, serve

rank = 16
state = {}


def load(directory, dtype):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(torch, dtype)).eval().requires_grad_(False)
    model.get_input_embeddings().requires_grad_(True)
    state["model"] = model
    state["modules"] = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and ".layers." in name]
    state.pop("attributor", None)
    return {}


def packed(rows, budget):
    """Indices of rows, longest first, at most `budget` tokens a batch with its padding."""
    batches = []
    for i in sorted(range(len(rows)), key=lambda i: -len(rows[i])):
        if not batches or (len(batches[-1]) + 1) * len(rows[batches[-1][0]]) > budget:
            batches.append([])
        batches[-1].append(i)
    return batches


def bergson(rows, budget):
    from bergson.collector.collector import CollectorComputer
    from bergson.collector.in_memory_collector import InMemoryCollector
    from bergson.config import IndexConfig
    from bergson.gradients import GradientProcessor
    from datasets import Dataset

    logging.disable(logging.INFO)
    data = Dataset.from_dict({"input_ids": rows, "length": [len(row) for row in rows]})
    with tempfile.TemporaryDirectory() as folder:
        config = IndexConfig(run_path=folder, projection_dim=rank, token_batch_size=budget)
        config.partial_run_path.mkdir(parents=True, exist_ok=True)
        with clock() as seconds:
            collector = InMemoryCollector(model=state["model"].base_model, data=data, cfg=config, processor=GradientProcessor(projection_dim=rank))
            CollectorComputer(model=state["model"], data=data, collector=collector, batches=packed(rows, budget), cfg=config).run_with_collector_hooks()
        return seconds[0], sum(part.shape[1] for part in collector.gradients.values()), collector.per_doc_losses.sum().item()


def dattri(rows, budget):
    from dattri.algorithm.logra import LoGraAttributor
    from dattri.task import AttributionTask

    model = state["model"]
    total = [0.0]

    def loss(model, batch, device):
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        logits = model(**batch, use_cache=False).logits[:, :-1]
        value = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")
        total[0] += value.item()
        return value

    def padded(chosen):
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in chosen], batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row), dtype=torch.long) for row in chosen], batch_first=True)
        return {"input_ids": ids, "attention_mask": mask}

    ordered = sorted(rows, key=len, reverse=True)
    loader = torch.utils.data.DataLoader(ordered, batch_size=max(1, budget // len(ordered[0])), collate_fn=padded)  # it needs one batch size
    if "attributor" not in state:
        state["folder"] = tempfile.TemporaryDirectory()  # its metadata go to the working directory otherwise
        task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
        state["attributor"] = LoGraAttributor(task=task, layer_names=state["modules"], hessian="Identity", proj_dim=rank * rank, offload="none", cache_dir=state["folder"].name)
    attributor = state["attributor"]
    attributor.task.original_loss_func = loss
    with clock() as seconds:
        attributor.cache(loader)
    return seconds[0], attributor.total_proj_dim, total[0]


def project(peer, rows, budget):
    seconds, width, loss = {"bergson": bergson, "dattri": dattri}[peer](rows, budget)
    return {"seconds": seconds, "width": width, "loss": loss}


def version(name):
    import importlib.metadata

    try:
        return {name: importlib.metadata.version(name)}
    except importlib.metadata.PackageNotFoundError:
        return {}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    serve({"torch": torch.__version__, **version("bergson"), **version("dattri")}, {"load": load, "project": project})
