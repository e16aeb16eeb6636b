"""The tiny, randomly initialised models of the golden fixtures: one entry per case, every weight drawn anew so that each one matters."""

import contextlib
import hashlib
import json
import os
import shutil

import numpy
import torch
import transformers
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY = 96
POSITIONS = 24
ROWS = (9, 5, 12)

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

OPT = dict(
    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, ffn_dim=40, num_attention_heads=4,
    max_position_embeddings=POSITIONS, pad_token_id=1, bos_token_id=2, eos_token_id=2,
)
BLOOM = dict(vocab_size=VOCABULARY, hidden_size=24, n_layer=2, n_head=4, pad_token_id=3, bos_token_id=1, eos_token_id=2)
NEOX = dict(
    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
    max_position_embeddings=POSITIONS, hidden_act="gelu", bos_token_id=0, eos_token_id=0, tie_word_embeddings=False,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
)
GPT2 = dict(
    vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_inner=40, n_positions=POSITIONS, bos_token_id=0, eos_token_id=0,
)
LLAMA = dict(
    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
    intermediate_size=40, max_position_embeddings=POSITIONS, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
    tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
)


def with_theta(theta, **other):
    return {**LLAMA, "rope_parameters": {"rope_type": "default", "rope_theta": theta}, **other}


# Smaller than the others, so that many of them take little room.
SMALL = dict(
    vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=28,
    max_position_embeddings=POSITIONS, bos_token_id=1, eos_token_id=2, pad_token_id=3,
)
GEMMA = dict(SMALL, head_dim=8, rms_norm_eps=1e-6)
GPT = dict(
    vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=4, n_inner=28, n_positions=POSITIONS, bos_token_id=0, eos_token_id=0,
)
FALCON = dict(
    vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, ffn_hidden_size=28,
    max_position_embeddings=POSITIONS, bos_token_id=1, eos_token_id=2, pad_token_id=3,
)


def scaled(settings, rope_type, theta=10000.0, **scaling):
    return {**settings, "rope_parameters": {"rope_type": rope_type, "rope_theta": theta, **scaling}}


CAUSAL_LM = {
    "opt": ("OPT", OPT),
    "opt-post-norm-projected": ("OPT", {**OPT, "do_layer_norm_before": False, "word_embed_proj_dim": 20}),
    "bloom": ("Bloom", BLOOM),
    "bloom-odd-heads": ("Bloom", {**BLOOM, "n_head": 6}),
    "gpt-neox": ("GPTNeoX", {**NEOX, "use_parallel_residual": True}),
    "gpt-neox-sequential": ("GPTNeoX", {
        **NEOX, "use_parallel_residual": False, "num_attention_heads": 4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
    }),
    "gpt2": ("GPT2", GPT2),
    "llama": ("Llama", LLAMA),
    "llama-gqa": ("Llama", with_theta(100000.0, num_key_value_heads=2, tie_word_embeddings=True)),
    "mistral": ("Mistral", with_theta(1000000.0, num_key_value_heads=2, sliding_window=None)),
    "qwen2": ("Qwen2", with_theta(1000000.0, num_key_value_heads=2, tie_word_embeddings=True, use_sliding_window=False, rms_norm_eps=1e-6)),
    "qwen3": ("Qwen3", with_theta(1000000.0, num_key_value_heads=2, head_dim=12, tie_word_embeddings=True, use_sliding_window=False, rms_norm_eps=1e-6)),
    "gpt2-scaled": ("GPT2", {**GPT, "scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True}),
    "opt-no-bias": ("OPT", {**OPT, "hidden_size": 24, "word_embed_proj_dim": 24, "ffn_dim": 28, "enable_bias": False}),
    "llama-llama3": ("Llama", scaled(
        {**SMALL, "hidden_size": 32, "tie_word_embeddings": True}, "llama3", 500.0,
        factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=12,
    )),
    "llama-dynamic": ("Llama", scaled({**SMALL, "hidden_size": 32, "max_position_embeddings": 8}, "dynamic", factor=4.0)),
    "mistral-window": ("Mistral", scaled({**SMALL, "sliding_window": 4}, "linear", factor=2.0)),
    "qwen2-yarn": ("Qwen2", scaled(
        {**SMALL, "hidden_size": 32, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}, "yarn",
        factor=4.0, original_max_position_embeddings=6,
    )),
    "gemma": ("Gemma", {**GEMMA, "num_key_value_heads": 1}),
    "gemma2": ("Gemma2", {
        **GEMMA, "sliding_window": 4, "query_pre_attn_scalar": 11, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
    }),
    "gemma3-text": ("Gemma3Text", {
        **GEMMA, "sliding_window": 4, "query_pre_attn_scalar": 11, "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            "full_attention": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 2.0},
        },
    }),
    "phi3": ("Phi3", scaled(
        {**SMALL, "hidden_size": 32, "original_max_position_embeddings": 8}, "longrope",
        short_factor=[1.0, 1.1, 1.3, 1.6], long_factor=[1.2, 1.9, 3.0, 4.5],
    )),
    "phi": ("Phi", scaled({**SMALL, "hidden_size": 32}, "default", partial_rotary_factor=0.5)),
    "olmo": ("Olmo", {**SMALL, "clip_qkv": 0.6}),
    "olmo2": ("Olmo2", SMALL),
    "smollm3": ("SmolLM3", {**SMALL, "no_rope_layers": [1, 0], "tie_word_embeddings": True}),
    "granite": ("Granite", {
        **SMALL, "embedding_multiplier": 3.0, "residual_multiplier": 0.6, "attention_multiplier": 0.3, "logits_scaling": 2.0,
    }),
    "falcon": ("Falcon", FALCON),
    "falcon-new": ("Falcon", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, "bias": True}),
    "falcon-sequential": ("Falcon", {**FALCON, "multi_query": False, "parallel_attn": False}),
    "gptj": ("GPTJ", {**GPT, "n_embd": 32, "rotary_dim": 4}),
    "stablelm": ("StableLm", scaled({**SMALL, "hidden_size": 32, "use_qkv_bias": True}, "default", partial_rotary_factor=0.5)),
    "stablelm-parallel": ("StableLm", scaled(
        {**SMALL, "hidden_size": 32, "use_parallel_residual": True}, "default", partial_rotary_factor=0.25)),
    "gpt-bigcode": ("GPTBigCode", GPT),
    "cohere": ("Cohere", {**SMALL, "logit_scale": 0.5}),
    "olmo3": ("Olmo3", {
        **SMALL, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0},
            "full_attention": {
                "rope_type": "yarn", "rope_theta": 500000.0, "factor": 4.0, "original_max_position_embeddings": 6,
                "beta_fast": 32.0, "beta_slow": 1.0, "attention_factor": 1.2,
            },
        },
    }),
    "mixtral": ("Mixtral", {**SMALL, "intermediate_size": 10, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5}),
    "qwen2-moe": ("Qwen2Moe", {
        **SMALL, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 6, "shared_expert_intermediate_size": 10,
        "mlp_only_layers": [1],
    }),
    "qwen3-moe": ("Qwen3Moe", {
        **SMALL, "num_experts": 5, "num_experts_per_tok": 3, "moe_intermediate_size": 6, "norm_topk_prob": True,
        "decoder_sparse_step": 2,
    }),
    "olmoe": ("Olmoe", {**SMALL, "intermediate_size": 10, "num_experts": 4, "num_experts_per_tok": 2, "clip_qkv": 0.6}),
}

CLASSIFICATION = {
    "opt-classification": ("OPT", OPT),
    "gpt-neox-classification": ("GPTNeoX", {**NEOX, "pad_token_id": VOCABULARY - 1}),
    "bloom-classification": ("Bloom", BLOOM),
    "llama-classification": ("Llama", {**LLAMA, "num_key_value_heads": 2, "pad_token_id": 3}),
    "gpt2-classification": ("GPT2", {**GPT2, "pad_token_id": VOCABULARY - 1}),
}
LABELS = 3


def stored_name(model, name):
    """A parameter's name in the checkpoint, where transformers renames it while reading."""
    if model.config.model_type == "mixtral":
        return name.replace(".mlp.", ".block_sparse_moe.")
    return name.replace("lm_head.", "embed_out.") if model.config.model_type == "gpt_neox" else name


def stored_parts(model, name, value):
    """What the checkpoint has of a parameter, by name: itself, or each expert's part of it."""
    name = stored_name(model, name)
    if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
        return {name: value}
    base, kind = name.rsplit(".", 1)
    gate, up, down = ("w1", "w3", "w2") if model.config.model_type == "mixtral" else ("gate_proj", "up_proj", "down_proj")
    found = {}
    for expert, own in enumerate(value):
        parts = {down: own} if kind == "down_proj" else dict(zip((gate, up), own.chunk(2)))
        found.update({f"{base}.{expert}.{part}.weight": part_value for part, part_value in parts.items()})
    return found


def seed_of(name):
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def randomise(model, seed, deviation=0.2):
    """Every parameter drawn anew: matrices around 0, norm weights around 1, biases and norm biases not 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.1 * noise)
            else:
                parameter.copy_(deviation * noise)
    return model.eval()


def build(family, settings, seed, labels=0, **extra):
    configuration = getattr(transformers, family + "Config")(**settings, **({"num_labels": labels} if labels else {}), **extra)
    kind = "ForSequenceClassification" if labels else ("LMHeadModel" if family == "GPT2" else "ForCausalLM")
    name = family.removesuffix("Text") if kind == "ForCausalLM" else family
    return randomise(getattr(transformers, name + kind)(configuration), seed)


def open_case(name, dtype=torch.float32):
    """The model of a case as its directory holds it."""
    path = os.path.join(HERE, name)
    with open(os.path.join(path, "config.json")) as file:
        classification = "ForSequenceClassification" in json.load(file)["architectures"][0]
    factory = transformers.AutoModelForSequenceClassification if classification else transformers.AutoModelForCausalLM
    # By the plain formula where the fused one knows no soft cap.
    capped = getattr(transformers.AutoConfig.from_pretrained(path), "attn_logit_softcapping", None) is not None
    model = factory.from_pretrained(path, dtype=dtype, **({"attn_implementation": "eager"} if capped else {})).eval()
    for block in blocks(model):
        if hasattr(getattr(block, "mlp", None), "experts"):
            model.config._experts_implementation = "eager"  # the fused one takes no rows of odd sizes
            block.mlp.units = Units(block.mlp)
    return model


class Units(torch.nn.Module):
    """The output projections of a mixture as one module, whose input are the neurons of all experts side by side, then those of the
    shared expert; an expert that a token does not go to has zeros. `exposed` makes the model's forward go through it."""

    def __init__(self, mlp):
        super().__init__()
        object.__setattr__(self, "mixture", mlp)  # no submodule: it has no parameters of its own
        self.shares = self.shared = self.forced = self.chosen = None

    def forward(self, units):
        experts = self.mixture.experts
        # Rows without a place in a batch are of the readout of the one row that was run before.
        shares, shared = (x if x is None or units.dim() == 3 else x[0, -1] for x in (self.shares, self.shared))
        count = experts.num_experts * experts.intermediate_dim
        each = units[..., :count].unflatten(-1, (experts.num_experts, -1))
        written = torch.einsum("...ew,ehw,...e->...h", each, experts.down_proj, shares)
        return written if shared is None else written + shared * self.mixture.shared_expert.down_proj(units[..., count:])

    def run(self, x):
        mlp, experts = self.mixture, self.mixture.experts
        logits, weights, chosen = mlp.gate(x.reshape(-1, x.shape[-1]))
        if self.forced is not None:
            chosen = self.forced.repeat(len(chosen) // len(self.forced), 1)
            weights = logits.float().softmax(-1).gather(1, chosen)
            if getattr(mlp.gate, "norm_topk_prob", True):
                weights = weights / weights.sum(-1, keepdim=True)
        self.chosen = chosen
        shares = torch.zeros_like(logits).scatter(1, chosen, weights.to(logits.dtype))
        self.shares = shares.unflatten(0, x.shape[:2])
        gate, up = torch.einsum("...h,eoh->...eo", x, experts.gate_up_proj).chunk(2, -1)
        goes = torch.zeros_like(logits).scatter(1, chosen, torch.ones_like(weights, dtype=logits.dtype)).unflatten(0, x.shape[:2])
        units = (experts.act_fn(gate) * up * goes[..., None]).flatten(-2)
        if hasattr(mlp, "shared_expert"):
            own = mlp.shared_expert
            self.shared = mlp.shared_expert_gate(x).sigmoid()
            units = torch.cat([units, own.act_fn(own.gate_proj(x)) * own.up_proj(x)], -1)
        return self(units)


@contextlib.contextmanager
def exposed(model):
    """Mixtures run through their `Units`."""
    mixtures = [block.mlp for block in blocks(model) if hasattr(getattr(block, "mlp", None), "units")]
    for mlp in mixtures:
        mlp.forward = mlp.units.run
    try:
        yield
    finally:
        for mlp in mixtures:
            del mlp.forward


def draw_rows(name, lengths=ROWS, vocabulary=VOCABULARY):
    """Ragged rows of ids; none is a special token (0–3) or the last id, which some cases pad with."""
    generator = numpy.random.default_rng(seed_of("rows of " + name))
    return [generator.integers(4, vocabulary - 1, size=length).astype(numpy.int32) for length in lengths]


def ragged(rows):
    return {
        "tokens": torch.from_numpy(numpy.concatenate(rows)),
        "rowOffsets": torch.tensor(numpy.concatenate([[0], numpy.cumsum([len(row) for row in rows])]), dtype=torch.int32),
    }


def one(row):
    return torch.from_numpy(numpy.asarray(row)).long()[None]


def padded(rows, pad):
    """Right-padded ids and their mask."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = one(row)[0]
        mask[index, : len(row)] = 1
    return ids, mask


def pad_of(model):
    return model.config.pad_token_id if model.config.pad_token_id is not None else 0


def blocks(model):
    base = model.base_model
    return getattr(base, "decoder", base).layers if hasattr(getattr(base, "decoder", base), "layers") else base.h


def first(module, *paths):
    for path in paths:
        found = module
        for part in path.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found
    raise KeyError(paths)


def up_projection(block):
    """The first linear layer of a plain (not gated) MLP: its output is the pre-activation."""
    return first(block, "fc1", "mlp.dense_h_to_4h", "mlp.c_fc", "mlp.fc1", "mlp.fc_in")


def down_projection(block):
    """Its input are the MLP neurons."""
    return first(block, "fc2", "mlp.units", "mlp.dense_4h_to_h", "mlp.c_proj", "mlp.down_proj", "mlp.fc2", "mlp.fc_out")


def attention_output(block):
    """Its input are the attention heads, one after the other."""
    return first(
        block, "self_attn.out_proj", "self_attn.o_proj", "self_attn.dense", "self_attention.dense", "attention.dense", "attn.c_proj",
        "attn.out_proj",
    )


def lm_loss(logits, row):
    """Cross-entropy summed over the row's next tokens."""
    return torch.nn.functional.cross_entropy(logits[:-1], one(row)[0, 1:], reduction="sum")


def write(path, tensors):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save_file({name: value.detach().contiguous().clone() for name, value in tensors.items()}, path)


def fresh(name):
    path = os.path.join(HERE, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path
