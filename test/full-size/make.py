"""Builds randomly initialised checkpoints with the shapes, names and file formats of the paper's three models, and what transformers
computes on those same files.

    python test/full-size/make.py DIRECTORY [--tokenizers DIRECTORY] [--only NAME...]

Writes DIRECTORY/{opt-125m,bloom-560m,pythia-410m}/ (2.3 GB): the checkpoint in fp16, its config.json in the words of the hub, a
tokenizer, and golden.safetensors, computed in fp32 from the weights as read back:

    tokens, rowOffsets     the rows, ragged (int32)
    lastLogits             [row, vocabulary] at the last position of each row
    shortestRow            [1] index of the shortest row (int32)
    shortestLogits         [token, vocabulary] of that row
    losses                 [row] cross-entropy summed over the next tokens (fp64)
    gradient               [64, 64] top left block of ∂(sum of losses) / ∂ the weight named in the metadata
    gradientNorm           [1] norm of that whole gradient (fp64)
    weightDots             [row, row] inner products of the rows' gradients of that weight (fp64)
    moduleDots             [row, row] the same of the weight and its bias

The metadata names the weight as stored ("weight") and the module as the library calls it ("module"). A directory that is already
complete is left as it is.
"""

import argparse
import gc
import hashlib
import json
import os
import shutil
from collections import OrderedDict

import numpy
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

LENGTHS = (24, 7, 40)
BLOCK = 64

OPT = {
    "_name_or_path": "facebook/opt-125m", "activation_dropout": 0.0, "activation_function": "relu", "architectures": ["OPTForCausalLM"],
    "attention_dropout": 0.0, "bos_token_id": 2, "do_layer_norm_before": True, "dropout": 0.1, "eos_token_id": 2, "ffn_dim": 3072,
    "hidden_size": 768, "init_std": 0.02, "layerdrop": 0.0, "max_position_embeddings": 2048, "model_type": "opt",
    "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "prefix": "</s>", "torch_dtype": "float16",
    "transformers_version": "4.21.0.dev0", "use_cache": True, "vocab_size": 50272, "word_embed_proj_dim": 768,
}
BLOOM = {
    "apply_residual_connection_post_layernorm": False, "architectures": ["BloomForCausalLM"], "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True, "bias_dropout_fusion": True, "bos_token_id": 1, "eos_token_id": 2, "hidden_dropout": 0.0,
    "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "masked_softmax_fusion": True, "model_type": "bloom", "n_embed": 1024,
    "n_inner": None, "n_layer": 24, "num_attention_heads": 16, "offset_alibi": 100, "pad_token_id": 3, "pretraining_tp": 1,
    "seq_length": 2048, "skip_bias_add": True, "skip_bias_add_qkv": False, "transformers_version": "4.20.0", "unk_token_id": 0,
    "use_cache": True, "vocab_size": 250880,
}
PYTHIA = {
    "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu", "hidden_size": 1024,
    "initializer_range": 0.02, "intermediate_size": 4096, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048,
    "model_type": "gpt_neox", "num_attention_heads": 16, "num_hidden_layers": 24, "rotary_emb_base": 10000, "rotary_pct": 0.25,
    "tie_word_embeddings": False, "torch_dtype": "float16", "transformers_version": "4.24.0", "use_cache": True,
    "use_parallel_residual": True, "vocab_size": 50304,
}


def random_state(model, seed):
    """The state of a model made without memory, filled with fp16 noise: matrices around 0, norms around 1, biases not 0."""
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for name, value in state.items():
        filled = torch.empty(value.shape)
        if value.dim() > 1:
            filled.normal_(0, 0.03, generator=generator)
        elif name.endswith("weight"):
            filled.normal_(1, 0.1, generator=generator)
        else:
            filled.normal_(0, 0.02, generator=generator)
        state[name] = filled.half()
    return state


def empty_model(kind, config):
    settings = transformers.AutoConfig.for_model(config["model_type"], **{key: value for key, value in config.items() if key != "model_type"})
    with torch.device("meta"):
        return kind(settings)


def save_opt(path):
    """An OrderedDict of the base model's weights, names from "decoder." on, output tied."""
    state = random_state(empty_model(transformers.OPTModel, OPT), 125)
    assert isinstance(state, OrderedDict) and "decoder.layers.0.fc1.weight" in state
    torch.save(state, os.path.join(path, "pytorch_model.bin"))


def save_bloom(path):
    """The base model's names, without "transformer.", output tied."""
    state = random_state(empty_model(transformers.BloomModel, BLOOM), 560)
    save_file(dict(state), os.path.join(path, "model.safetensors"), {"format": "pt"})


def save_pythia(path):
    """With the causal mask, its fill value and the rotary frequencies that the version of the time stored."""
    state = {name.replace("lm_head.", "embed_out."): value for name, value in random_state(empty_model(transformers.GPTNeoXForCausalLM, PYTHIA), 410).items()}
    positions, rotated = PYTHIA["max_position_embeddings"], int(PYTHIA["rotary_pct"] * PYTHIA["hidden_size"] / PYTHIA["num_attention_heads"])
    for layer in range(PYTHIA["num_hidden_layers"]):
        prefix = f"gpt_neox.layers.{layer}.attention."
        state[prefix + "bias"] = torch.ones(positions, positions, dtype=torch.uint8).tril()[None, None].clone()
        state[prefix + "masked_bias"] = torch.tensor(-1e9).half()
        state[prefix + "rotary_emb.inv_freq"] = (1 / 10000 ** (torch.arange(0, rotated, 2) / rotated)).half()
    save_file(state, os.path.join(path, "model.safetensors"), {"format": "pt"})


# Folder: settings, writer, tokenizer files, a weight of a middle layer (as transformers, the file and the library call it).
MODELS = {
    "opt-125m": (OPT, save_opt, ("opt", ("vocab.json", "merges.txt")), ("model.decoder.layers.6.fc1", "decoder.layers.6.fc1", "layers.6.mlp.up")),
    # BLOOM's own tokenizer is not needed for the numbers: any that fits stands in.
    "bloom-560m": (BLOOM, save_bloom, ("gpt-neox-20b", ("tokenizer.json",)), ("transformer.h.12.mlp.dense_4h_to_h", "h.12.mlp.dense_4h_to_h", "layers.12.mlp.down")),
    "pythia-410m": (PYTHIA, save_pythia, ("gpt-neox-20b", ("tokenizer.json",)), ("gpt_neox.layers.12.mlp.dense_h_to_4h", "gpt_neox.layers.12.mlp.dense_h_to_4h", "layers.12.mlp.up")),
}


def byte_symbols():
    """The printable characters that byte-level BPE writes the 256 bytes with."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(256 + index) for index in range(len(other))]


def put_tokenizer(path, source, files):
    """The real files where they are, else one token per byte."""
    if source is not None and all(os.path.exists(os.path.join(source, file)) for file in files):
        for file in files:
            shutil.copyfile(os.path.join(source, file), os.path.join(path, file))
        return
    vocabulary = {token: index for index, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *byte_symbols()])}
    if "vocab.json" in files:
        with open(os.path.join(path, "vocab.json"), "w") as file:
            json.dump(vocabulary, file)
        with open(os.path.join(path, "merges.txt"), "w") as file:
            file.write("#version: 0.2\n")
        return
    piece = {"add_prefix_space": False, "trim_offsets": True, "use_regex": True, "type": "ByteLevel"}
    with open(os.path.join(path, "tokenizer.json"), "w") as file:
        json.dump({
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": piece,
            "post_processor": None, "decoder": piece,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "vocab": vocabulary, "merges": []},
        }, file)


def golden_of(path, vocabulary, module_name):
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    # A weight that transformers did not find in the file would be drawn at random.
    assert not loading["missing_keys"] and not loading["mismatched_keys"], loading
    model = model.eval().requires_grad_(False)
    module = model.get_submodule(module_name)
    module.requires_grad_(True)
    generator = numpy.random.default_rng(2405)
    rows = [generator.integers(4, min(vocabulary, 50257), size=length).astype(numpy.int32) for length in LENGTHS]
    last, losses, gradients, shortest = [], [], [], None
    for row in rows:
        ids = torch.from_numpy(row).long()
        logits = model(ids[None]).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="sum")
        gradients.append([gradient.double() for gradient in torch.autograd.grad(loss, [module.weight, module.bias])])
        losses.append(loss.item())
        last.append(logits[-1].detach())
        if len(row) == min(LENGTHS):
            shortest = logits.detach().clone()
        del logits, loss
    weights = torch.stack([weight.flatten() for weight, _ in gradients])
    biases = torch.stack([bias for _, bias in gradients])
    total = sum(weight for weight, _ in gradients)
    return {
        "tokens": torch.from_numpy(numpy.concatenate(rows)),
        "rowOffsets": torch.tensor(numpy.cumsum([0, *LENGTHS]), dtype=torch.int32),
        "lastLogits": torch.stack(last),
        "shortestRow": torch.tensor([LENGTHS.index(min(LENGTHS))], dtype=torch.int32),
        "shortestLogits": shortest,
        "losses": torch.tensor(losses, dtype=torch.float64),
        "gradient": total[:BLOCK, :BLOCK].float().clone(),
        "gradientNorm": total.norm()[None].clone(),
        "weightDots": weights @ weights.T,
        "moduleDots": weights @ weights.T + biases @ biases.T,
    }


def complete(path, recipe):
    file = os.path.join(path, "golden.safetensors")
    if not os.path.exists(file):
        return False
    with safe_open(file, "pt") as golden:
        return (golden.metadata() or {}).get("recipe") == recipe


def make(name, directory, tokenizers, recipe):
    config, save, (tokenizer, files), (module, stored, ours) = MODELS[name]
    path = os.path.join(directory, name)
    if complete(path, recipe):
        print(f"{name}: already there", flush=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    with open(os.path.join(path, "config.json"), "w") as file:
        json.dump(config, file, indent=2)
    put_tokenizer(path, tokenizers and os.path.join(tokenizers, tokenizer), files)
    save(path)
    gc.collect()
    golden = golden_of(path, config["vocab_size"], module)
    # Last, so that its presence means that all is there.
    save_file(golden, os.path.join(path, "golden.safetensors"), {"weight": stored + ".weight", "module": ours, "recipe": recipe})
    gc.collect()
    print(f"{name}: logits up to {golden['lastLogits'].abs().max():.2f}, losses {[round(loss, 2) for loss in golden['losses'].tolist()]}, gradient norm {golden['gradientNorm'].item():.3f}", flush=True)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--tokenizers", help="folder with opt/{vocab.json,merges.txt} and gpt-neox-20b/tokenizer.json")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    with open(__file__, "rb") as file:
        recipe = hashlib.sha256(file.read()).hexdigest()
    for name in options.only:
        make(name, options.directory, options.tokenizers, recipe)
