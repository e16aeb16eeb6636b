"""kronfluence's EK-FAC influence on the weights that saveModel wrote: all linear modules
of the blocks, losses summed over tokens, damping 0.1 × the mean eigenvalue of each module (its own heuristic), everything in float32.
"""
import contextlib
import logging
import sys
import tempfile

import kronfluence
import torch
import transformers
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from kronfluence.utils.dataset import DataLoaderKwargs
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from protocol import base64_floats, clock, serve

state = {}


class NextTokens(Task):
    """Every position but the last predicts the token after it."""

    def __init__(self, modules):
        self.modules = modules

    def compute_train_loss(self, batch, model, sample=False):
        logits = model(input_ids=batch, use_cache=False).logits[:, :-1].flatten(0, 1).float()
        if not sample:
            return cross_entropy(logits, batch[:, 1:].flatten(), reduction="sum")
        with torch.no_grad():
            drawn = torch.multinomial(torch.softmax(logits, -1), 1).squeeze(1)
        return cross_entropy(logits, drawn, reduction="sum")

    def compute_measurement(self, batch, model):
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self):
        return self.modules


def load(directory, train, queries, batch):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    modules = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and ".layers." in name]
    task = NextTokens(modules)
    state["folder"] = tempfile.TemporaryDirectory()
    state["analyzer"] = Analyzer("ekfac", prepare_model(model, task), task, cpu=True, disable_tqdm=True, log_level=logging.ERROR, output_dir=state["folder"].name)
    state["analyzer"].set_dataloader_kwargs(DataLoaderKwargs(num_workers=0))
    state.update(train=Rows(train), queries=Rows(queries), batch=batch)
    return {"modules": len(modules)}


class Rows(torch.utils.data.Dataset):
    def __init__(self, rows):
        self.rows = torch.tensor(rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def influence(seed, empirical):
    """Seconds of each stage, and scores [query, train]; the empirical Fisher takes the tokens themselves for labels."""
    torch.manual_seed(seed)
    analyzer, batch = state["analyzer"], state["batch"]
    factors = {"factors_name": f"factors{seed}{empirical}", "overwrite_output_dir": True}
    data = {"dataset": state["train"], "per_device_batch_size": batch}
    arguments = FactorArguments(strategy="ekfac", use_empirical_fisher=empirical)
    seconds = {}
    with stage(seconds, "covariances"):
        analyzer.fit_covariance_matrices(**factors, **data, factor_args=arguments)
    with stage(seconds, "eigendecomposition"):
        analyzer.perform_eigendecomposition(**factors, factor_args=arguments)
    with stage(seconds, "corrections"):
        analyzer.fit_lambda_matrices(**factors, **data, factor_args=arguments)
    with stage(seconds, "scores"):
        analyzer.compute_pairwise_scores(
            scores_name=f"scores{seed}{empirical}", factors_name=factors["factors_name"], overwrite_output_dir=True,
            query_dataset=state["queries"], train_dataset=state["train"], score_args=ScoreArguments(damping_factor=None),
            per_device_query_batch_size=len(state["queries"]), per_device_train_batch_size=batch,
        )
    return {"seconds": seconds, "scores": base64_floats(analyzer.load_pairwise_scores(f"scores{seed}{empirical}")["all_modules"])}


@contextlib.contextmanager
def stage(seconds, name):
    with clock() as taken:
        yield
    seconds[name] = taken[0]


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "kronfluence": getattr(kronfluence, "__version__", "?")}
    serve(versions, {"load": load, "influence": influence})
