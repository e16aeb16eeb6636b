"""Writes the model cases: tiny models of every family, setting and file format, with what transformers computes on them.

    python test/golden/make.py [CASE...]
"""

import json
import os
import sys
from collections import OrderedDict

import torch
import transformers
from safetensors.torch import save_file

from families import (
    CAUSAL_LM, CLASSIFICATION, HERE, LABELS, VOCABULARY, attention_output, blocks, build, down_projection, draw_rows, exposed, fresh,
    lm_loss, one, open_case, pad_of, padded, ragged, seed_of, stored_name, stored_parts, write,
)

# Alone or padded, the same computation in fp32; only the order of sums may differ.
PADDING_TOLERANCE = 1e-4


def capture(model, row):
    """Logits of one row on its own, with the inputs of both output projections of every layer."""
    found, handles = {}, []
    for layer, block in enumerate(blocks(model)):
        for site, module in (("mlp", down_projection(block)), ("attention", attention_output(block))):
            def hook(_, inputs, name=f"{site}.{layer}"):
                found[name] = inputs[0].detach().reshape(len(row), -1)
            handles.append(module.register_forward_pre_hook(hook))
    with torch.no_grad():
        with exposed(model):
            seen = model(one(row)).logits[0]
        for handle in handles:
            handle.remove()
        logits = model(one(row)).logits[0]
    assert torch.allclose(seen, logits, atol=1e-5 * logits.abs().max())
    widest = max(value.shape[1] for name, value in found.items() if name.startswith("mlp."))  # layers may differ
    padded = {name: torch.nn.functional.pad(value, (0, widest - value.shape[1])) for name, value in found.items() if name.startswith("mlp.")}
    return logits, {**found, **padded}


def check_padding(model, rows, alone):
    # These take their angles from the longest row of a batch; ours are those of a row alone.
    if (getattr(model.config, "rope_parameters", None) or {}).get("rope_type") in ("dynamic", "longrope"):
        return
    ids, mask = padded(rows, pad_of(model))
    with torch.no_grad():
        logits = model(ids, attention_mask=mask).logits
    for index, row in enumerate(rows):
        batched = logits[index, : len(row)] if logits.dim() == 3 else logits[index]
        largest = (batched - alone[index]).abs().max() / alone[index].abs().max()
        assert largest < PADDING_TOLERANCE, f"padding changes row {index} by {largest}"


def gradients(model, loss):
    """Of every parameter outside the layers and of layer 0; those of the layers above are left out for size."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    above = tuple(f".{layer}." for layer in range(1, len(blocks(model))))
    kept = {name: parameter.grad for name, parameter in model.named_parameters() if not any(part in name for part in above)}
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in kept.values())
    return {"gradient." + part: value for name, gradient in kept.items() for part, value in stored_parts(model, name, gradient).items()}


def lm_golden(model, name, detailed=True):
    rows = draw_rows(name)
    captured = [capture(model, row) for row in rows]
    check_padding(model, rows, [logits for logits, _ in captured])
    golden = ragged(rows)
    golden["logits"] = torch.cat([logits for logits, _ in captured])
    golden["losses"] = torch.stack([lm_loss(logits, row) for (logits, _), row in zip(captured, rows)])
    if detailed:
        for key in captured[0][1]:
            golden[key] = torch.cat([found[key] for _, found in captured])
        model = open_case(name)  # a dynamic rope scaling keeps the angles of the longest row that it saw
        golden.update(gradients(model, lm_loss(model(one(rows[0])).logits[0], rows[0])))
    return golden


def classification_golden(model, name):
    rows = draw_rows(name)
    captured = [capture(model, row) for row in rows]
    check_padding(model, rows, [logits for logits, _ in captured])
    golden = ragged(rows)
    golden["logits"] = torch.stack([logits for logits, _ in captured])
    labels = torch.arange(len(rows)) % model.config.num_labels
    golden["labels"] = labels.int()
    golden["losses"] = torch.nn.functional.cross_entropy(golden["logits"], labels, reduction="none")
    golden.update(gradients(model, torch.nn.functional.cross_entropy(model(one(rows[0])).logits, labels[:1])))
    return golden


def finish(name, golden):
    path = os.path.join(HERE, name)
    write(os.path.join(path, "golden.safetensors"), golden)
    extra = os.path.join(path, "generation_config.json")
    if os.path.exists(extra):
        os.remove(extra)
    total = sum(os.path.getsize(os.path.join(path, file)) for file in os.listdir(path))
    print(f"{name}: {total / 1000:.0f} kB, logits {tuple(golden['logits'].shape)} up to {golden['logits'].abs().max():.2f}")


def family_case(name):
    family, settings = CAUSAL_LM[name]
    model = build(family, settings, seed_of(name))
    model.save_pretrained(fresh(name))
    golden = lm_golden(open_case(name), name)
    finish(name, golden)
    legacy_config(name, golden)


def classification_case(name):
    family, settings = CLASSIFICATION[name]
    build(family, settings, seed_of(name), LABELS).save_pretrained(fresh(name))
    finish(name, classification_golden(open_case(name), name))


# The same settings in the words that older versions wrote and the hub's files still have.
LEGACY = {
    "opt": dict(
        _name_or_path="opt-125m", activation_dropout=0.0, activation_function="relu", architectures=["OPTForCausalLM"],
        attention_dropout=0.0, bos_token_id=2, do_layer_norm_before=True, dropout=0.1, eos_token_id=2, ffn_dim=40, hidden_size=32,
        init_std=0.02, layerdrop=0.0, max_position_embeddings=24, model_type="opt", num_attention_heads=4, num_hidden_layers=2,
        pad_token_id=1, prefix="</s>", torch_dtype="float16", transformers_version="4.21.0.dev0", use_cache=True,
        vocab_size=VOCABULARY, word_embed_proj_dim=32,
    ),
    "opt-post-norm-projected": dict(
        _remove_final_layer_norm=False, activation_dropout=0.0, activation_function="relu", architectures=["OPTForCausalLM"],
        attention_dropout=0.0, bos_token_id=2, do_layer_norm_before=False, dropout=0.1, eos_token_id=2, ffn_dim=40, hidden_size=32,
        init_std=0.02, layerdrop=0.0, max_position_embeddings=24, model_type="opt", num_attention_heads=4, num_hidden_layers=2,
        pad_token_id=1, prefix="</s>", torch_dtype="float16", transformers_version="4.20.0.dev0", use_cache=True,
        vocab_size=VOCABULARY, word_embed_proj_dim=20,
    ),
    "bloom": dict(
        apply_residual_connection_post_layernorm=False, architectures=["BloomForCausalLM"], attention_dropout=0.0,
        attention_softmax_in_fp32=True, bias_dropout_fusion=True, bos_token_id=1, eos_token_id=2, hidden_dropout=0.0,
        initializer_range=0.02, layer_norm_epsilon=1e-05, masked_softmax_fusion=True, model_type="bloom", n_embed=24,
        n_inner=None, n_layer=2, num_attention_heads=4, offset_alibi=100, pad_token_id=3, pretraining_tp=1,
        skip_bias_add=True, skip_bias_add_qkv=False, transformers_version="4.20.0", unk_token_id=0, use_cache=True,
        vocab_size=VOCABULARY,
    ),
    "gpt-neox": dict(
        architectures=["GPTNeoXForCausalLM"], bos_token_id=0, eos_token_id=0, hidden_act="gelu", hidden_size=32,
        initializer_range=0.02, intermediate_size=40, layer_norm_eps=1e-05, max_position_embeddings=24, model_type="gpt_neox",
        num_attention_heads=2, num_hidden_layers=2, rotary_emb_base=10000, rotary_pct=0.25, tie_word_embeddings=False,
        torch_dtype="float16", transformers_version="4.24.0", use_cache=True, use_parallel_residual=True, vocab_size=VOCABULARY,
    ),
    "gpt-neox-sequential": dict(
        architectures=["GPTNeoXForCausalLM"], attention_bias=True, attention_dropout=0.0, bos_token_id=0, classifier_dropout=0.1,
        eos_token_id=0, hidden_act="gelu", hidden_dropout=0.0, hidden_size=32, initializer_range=0.02, intermediate_size=40,
        layer_norm_eps=1e-05, max_position_embeddings=24, model_type="gpt_neox", num_attention_heads=4, num_hidden_layers=2,
        rope_scaling=None, rope_theta=10000, rotary_emb_base=10000, rotary_pct=1.0, tie_word_embeddings=False,
        torch_dtype="float32", transformers_version="4.40.0", use_cache=True, use_parallel_residual=False, vocab_size=VOCABULARY,
    ),
    "gpt2": dict(
        activation_function="gelu_new", architectures=["GPT2LMHeadModel"], attn_pdrop=0.1, bos_token_id=0, embd_pdrop=0.1,
        eos_token_id=0, initializer_range=0.02, layer_norm_epsilon=1e-05, model_type="gpt2", n_ctx=24, n_embd=32, n_head=4, n_inner=40,
        n_layer=2, n_positions=24, resid_pdrop=0.1, summary_activation=None, summary_first_dropout=0.1,
        summary_proj_to_labels=True, summary_type="cls_index", summary_use_proj=True,
        task_specific_params={"text-generation": {"do_sample": True, "max_length": 50}}, vocab_size=VOCABULARY,
    ),
    "llama-gqa": dict(
        architectures=["LlamaForCausalLM"], attention_bias=False, attention_dropout=0.0, bos_token_id=1, eos_token_id=2,
        hidden_act="silu", hidden_size=32, initializer_range=0.041666666666666664, intermediate_size=40, is_llama_config=True,
        max_position_embeddings=24, mlp_bias=False, model_type="llama", num_attention_heads=4, num_hidden_layers=2,
        num_key_value_heads=2, pad_token_id=2, pretraining_tp=1, rms_norm_eps=1e-05, rope_interleaved=False, rope_scaling=None,
        rope_theta=100000, tie_word_embeddings=True, torch_dtype="bfloat16", transformers_version="4.42.3", use_cache=True,
        vocab_size=VOCABULARY,
    ),
    "mistral": dict(
        architectures=["MistralForCausalLM"], attention_dropout=0.0, bos_token_id=1, eos_token_id=2, hidden_act="silu",
        hidden_size=32, initializer_range=0.02, intermediate_size=40, max_position_embeddings=24, model_type="mistral",
        num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2, rms_norm_eps=1e-05, rope_theta=1000000.0,
        sliding_window=None, tie_word_embeddings=False, torch_dtype="bfloat16", transformers_version="4.36.0", use_cache=True,
        vocab_size=VOCABULARY,
    ),
    "qwen2": dict(
        architectures=["Qwen2ForCausalLM"], attention_dropout=0.0, bos_token_id=2, eos_token_id=2, hidden_act="silu",
        hidden_size=32, initializer_range=0.02, intermediate_size=40, max_position_embeddings=24, max_window_layers=2,
        model_type="qwen2", num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2, rms_norm_eps=1e-06,
        rope_theta=1000000.0, sliding_window=32768, tie_word_embeddings=True, torch_dtype="bfloat16",
        transformers_version="4.40.1", use_cache=True, use_mrope=False, use_sliding_window=False, vocab_size=VOCABULARY,
    ),
    "qwen3": dict(
        architectures=["Qwen3ForCausalLM"], attention_bias=False, attention_dropout=0.0, bos_token_id=1, eos_token_id=2,
        head_dim=12, hidden_act="silu", hidden_size=32, initializer_range=0.02, intermediate_size=40, max_position_embeddings=24,
        max_window_layers=2, model_type="qwen3", num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2,
        rms_norm_eps=1e-06, rope_scaling=None, rope_theta=1000000, sliding_window=None, tie_word_embeddings=True,
        torch_dtype="bfloat16", transformers_version="4.51.0", use_cache=True, use_sliding_window=False, vocab_size=VOCABULARY,
    ),
}


def legacy_config(name, golden):
    """Beside config.json; transformers reads the same model from it, which is asserted."""
    if name not in LEGACY:
        return
    path = os.path.join(HERE, name)
    with open(os.path.join(path, "config.legacy.json"), "w") as file:
        json.dump(LEGACY[name], file, indent=2)
        file.write("\n")
    settings = transformers.AutoConfig.from_pretrained(os.path.join(path, "config.legacy.json"))
    model = transformers.AutoModelForCausalLM.from_pretrained(path, config=settings, dtype=torch.float32).eval()
    logits = torch.cat([capture(model, row)[0] for row in draw_rows(name)])
    assert torch.equal(logits, golden["logits"]), f"{name}: the older config.json reads as another model"


def hub_opt(model):
    """facebook/opt-125m as it lies on the hub: the base model's OrderedDict, no "model.", no lm_head."""
    state = model.model.state_dict()
    assert isinstance(state, OrderedDict) and "decoder.embed_tokens.weight" in state
    return state


def save_opt_bin(path, model):
    torch.save(hub_opt(model), os.path.join(path, "pytorch_model.bin"))


def save_opt_bin_sharded(path, model):
    """Two files of plain dicts and their index, as save_pretrained wrote them."""
    state = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    names, where = list(state), {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"pytorch_model-{number:05d}-of-00002.bin"
        torch.save({name: state[name] for name in part}, os.path.join(path, file))
        where.update({name: file for name in part})
    total = sum(value.numel() * value.element_size() for value in state.values())
    with open(os.path.join(path, "pytorch_model.bin.index.json"), "w") as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}, file, indent=2)
        file.write("\n")


def save_sharded(path, model):
    model.save_pretrained(path, max_shard_size="25KB")


def save_bf16(path, model):
    model.save_pretrained(path)


def save_bloom_hub(path, model):
    """bigscience/bloom-560m: the base model's names, no "transformer."."""
    save_file({name: value.contiguous() for name, value in model.transformer.state_dict().items()}, os.path.join(path, "model.safetensors"), {"format": "pt"})


def save_gpt2_hub(path, model):
    """openai-community/gpt2: the base model's names, and the causal mask that older versions stored."""
    state = {name: value.contiguous() for name, value in model.transformer.state_dict().items()}
    positions = model.config.n_positions
    for layer in range(model.config.n_layer):
        state[f"h.{layer}.attn.bias"] = torch.ones(positions, positions).tril()[None, None].clone()
    save_file(state, os.path.join(path, "model.safetensors"), {"format": "pt"})


def save_gpt_neox_hub(path, model):
    """EleutherAI/pythia-410m: the causal mask, its fill value (minus infinity in fp16) and the rotary frequencies lie in the file."""
    state = {stored_name(model, name): value.contiguous() for name, value in model.state_dict().items()}
    positions = model.config.max_position_embeddings
    frequencies = model.gpt_neox.rotary_emb.inv_freq.half()
    for layer in range(model.config.num_hidden_layers):
        prefix = f"gpt_neox.layers.{layer}.attention."
        state[prefix + "bias"] = torch.ones(positions, positions, dtype=torch.bool).tril()[None, None].clone()
        state[prefix + "masked_bias"] = torch.tensor(-1e9).half()
        state[prefix + "rotary_emb.inv_freq"] = frequencies.clone()
    save_file(state, os.path.join(path, "model.safetensors"), {"format": "pt"})


def save_fused(path, model):
    """transformers 5's own layout: the experts of a layer in two tensors."""
    model.save_pretrained(path, save_original_format=False)


FORMATS = {
    "format-bin-fp16": ("opt", torch.float16, save_opt_bin),
    "format-bin-sharded": ("opt", torch.float16, save_opt_bin_sharded),
    "format-safetensors-sharded": ("opt", torch.float32, save_sharded),
    "format-safetensors-bf16": ("llama-gqa", torch.bfloat16, save_bf16),
    "hub-names-bloom": ("bloom", torch.float16, save_bloom_hub),
    "hub-names-gpt2": ("gpt2", torch.float32, save_gpt2_hub),
    "hub-names-gpt-neox": ("gpt-neox", torch.float16, save_gpt_neox_hub),
    "format-fused-experts-mixtral": ("mixtral", torch.float32, save_fused),
    "format-fused-experts-qwen2-moe": ("qwen2-moe", torch.bfloat16, save_fused),
}


def format_case(name):
    source, dtype, save = FORMATS[name]
    family, settings = CAUSAL_LM[source]
    model = build(family, settings, seed_of(name)).to(dtype)
    path = fresh(name)
    save(path, model)
    if source in LEGACY:
        with open(os.path.join(path, "config.json"), "w") as file:
            json.dump({**LEGACY[source], "torch_dtype": str(dtype).split(".")[1]}, file, indent=2)
            file.write("\n")
    # From the files as transformers reads them, in fp32; the weights are those that were saved.
    read = open_case(name)
    for (key, saved), (_, found) in zip(model.named_parameters(), read.named_parameters(), strict=True):
        assert torch.equal(saved.float(), found), f"{name}: {key}"
    golden = lm_golden(read, name, detailed=False)
    finish(name, golden)


def choice_case(name):
    """One score per row; for listwise choice."""
    family, settings = CAUSAL_LM["gpt-neox"]
    build(family, {**settings, "pad_token_id": VOCABULARY - 1}, seed_of(name), 1).save_pretrained(fresh(name))
    model, rows = open_case(name), draw_rows(name)
    captured = [capture(model, row) for row in rows]
    check_padding(model, rows, [logits for logits, _ in captured])
    golden = ragged(rows)
    golden["logits"] = torch.cat([logits for logits, _ in captured])
    golden["groupOffsets"] = torch.tensor([0, len(rows)], dtype=torch.int32)
    golden["labels"] = torch.tensor([1], dtype=torch.int32)
    loss = -torch.log_softmax(torch.cat([model(one(row)).logits[0] for row in rows]), 0)[1]
    golden["losses"] = loss.detach()[None]
    golden.update(gradients(model, loss))
    finish(name, golden)


CASES = {
    **{name: family_case for name in CAUSAL_LM},
    **{name: classification_case for name in CLASSIFICATION},
    "gpt-neox-choice": choice_case,
    **{name: format_case for name in FORMATS},
}

if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        CASES[name](name)
