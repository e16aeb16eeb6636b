"""Writes gguf/: tiny GGUF models, the values that the gguf package reads from their blocks, transformers' logits, and token ids.

    python test/golden/make-gguf.py        (after make.py; needs the gguf package 0.19 as well)

llama, llama-gqa, qwen2, qwen3 and olmo2 are the cases of the same names in fp32, and have their logits; `values.safetensors` is of
blocks.gguf, `bias.safetensors` of llama-bias.gguf, `phi3.safetensors` of phi3.gguf. `tokens.gguf` has a tokenizer, `ids.json` what the tokenizers package gives for the same tokens and
merges under each rule of cutting. (transformers' own reading of GGUF tokenizers is not asked: it takes these for SentencePiece.)
"""

import importlib.util
import json
import os

import gguf
import numpy
import tokenizers
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from families import HERE, LLAMA, build, draw_rows, fresh, one, ragged, seed_of, write

FOLDER = os.path.join(HERE, "gguf")
DATA = os.path.join(HERE, "..", "data")
MODULES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


OUTPUT_NORMS = {"post_attention_layernorm": "post_attention_norm", "post_feedforward_layernorm": "post_ffw_norm"}


def gguf_name(name, architecture):
    module, suffix = name.rsplit(".", 1)
    if architecture == "olmo2" and module.split(".")[-1] in OUTPUT_NORMS:
        return f"blk.{module.split('.')[2]}.{OUTPUT_NORMS[module.split('.')[-1]]}.{suffix}"
    if module.startswith("model.layers."):
        layer, module = module.removeprefix("model.layers.").split(".", 1)
        return f"blk.{layer}.{MODULES[module]}.{suffix}"
    return f"{MODULES[module]}.{suffix}"


def permute(rows, heads):
    """llama.cpp's order of a rotary weight: each head's two halves turn by turn."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def unpermute(rows, heads):
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def write_gguf(name, architecture, sizes, tensors, tokenizer=None):
    """`tensors`: (name, array, type); arrays of block types are bytes already."""
    writer = gguf.GGUFWriter(os.path.join(FOLDER, f"{name}.gguf"), architecture)
    writer.add_name(f"tiny {name}")
    for key, value in sizes.items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"{architecture}.{key}", value)
    if tokenizer is not None:
        tokenizer(writer)
    for tensor, values, kind in tensors:
        writer.add_tensor(tensor, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def sizes_of(config, head_size):
    rope = config["rope_parameters"]
    return {
        "vocab_size": config["vocab_size"], "context_length": config["max_position_embeddings"], "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"], "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"], "attention.head_count_kv": config["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]), "rope.freq_base": float(rope["rope_theta"]), **head_size,
    }


def stored(state, config, architecture):
    """Tensors of a transformers state in fp32."""
    heads = {"attn_q.": config["num_attention_heads"], "attn_k.": config["num_key_value_heads"]}
    for name, value in state.items():
        target = gguf_name(name, architecture)
        turned = next((count for part, count in heads.items() if part in target), 0) if architecture == "llama" else 0
        values = value.float().numpy()
        yield target, numpy.ascontiguousarray(permute(values, turned) if turned else values), Type.F32


def of_case(name, architecture):
    """A model case of make.py, in fp32: its logits are those of the case."""
    with open(os.path.join(HERE, name, "config.json")) as file:
        config = json.load(file)
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    own = {"attention.key_length": size, "attention.value_length": size} if architecture == "qwen3" else {}
    state = load_file(os.path.join(HERE, name, "model.safetensors"))
    write_gguf(name, architecture, sizes_of(config, {"rope.dimension_count": size, **own}), stored(state, config, architecture))


def logits_of(model, rows):
    with torch.no_grad():
        return torch.cat([model(one(row)).logits[0] for row in rows])


def with_biases():
    """Biases everywhere, those of queries and keys permuted as their weights are."""
    name = "llama-bias"
    settings = {**LLAMA, "num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True}
    model = build("Llama", settings, seed_of(name))
    write_gguf(name, "llama", sizes_of(settings, {"rope.dimension_count": 8}), stored(model.state_dict(), settings, "llama"))
    rows = draw_rows(name)
    write(os.path.join(FOLDER, "bias.safetensors"), {**ragged(rows), "logits": logits_of(model, rows)})


def with_fused_projections():
    name = "phi3"
    settings = {**LLAMA, "num_key_value_heads": 2, "pad_token_id": 3}
    model = build("Phi3", settings, seed_of("gguf " + name))
    own = {"rope.dimension_count": 8, "rope.scaling.original_context_length": settings["max_position_embeddings"]}
    write_gguf(name, name, sizes_of(settings, own), stored(model.state_dict(), settings, name))
    rows = draw_rows(name)
    write(os.path.join(FOLDER, f"{name}.safetensors"), {**ragged(rows), "logits": logits_of(model, rows)})


HIDDEN, HEADS, GROUPS, HEAD, INTERMEDIATE, ROWS = 256, 2, 1, 16, 32, 32
BLOCKS = {
    "token_embd": Type.Q6_K, "output": Type.Q8_0,
    "blk.0.attn_q": Type.Q4_K, "blk.0.attn_k": Type.Q5_K, "blk.0.attn_v": Type.Q6_K, "blk.0.attn_output": Type.Q5_0,
    "blk.0.ffn_gate": Type.Q4_0, "blk.0.ffn_up": Type.Q4_1, "blk.0.ffn_down": Type.Q5_1,
    "blk.1.attn_q": Type.Q5_K, "blk.1.attn_k": Type.Q4_K, "blk.1.attn_v": Type.F16, "blk.1.attn_output": Type.BF16,
    "blk.1.ffn_gate": Type.Q8_0, "blk.1.ffn_up": Type.Q6_K, "blk.1.ffn_down": Type.Q4_0,
}
SHAPES = {
    "attn_q": (HEADS * HEAD, HIDDEN), "attn_k": (GROUPS * HEAD, HIDDEN), "attn_v": (GROUPS * HEAD, HIDDEN), "attn_output": (HIDDEN, HEADS * HEAD),
    "ffn_gate": (INTERMEDIATE, HIDDEN), "ffn_up": (INTERMEDIATE, HIDDEN), "ffn_down": (HIDDEN, INTERMEDIATE), "token_embd": (ROWS, HIDDEN), "output": (ROWS, HIDDEN),
}


def halves(generator, count, size):
    signs = generator.choice([-1, 1], count)
    return (signs * generator.uniform(size / 2, size, count)).astype(numpy.float16).view(numpy.uint8).reshape(count, 2)


def k_blocks(kind, shape, generator):
    """Random bytes with scales that make values of about 0.1: the package has no quantiser for these types."""
    count = shape[0] * shape[1] // 256
    noise = lambda bytes: generator.integers(0, 256, (count, bytes), dtype=numpy.uint8)
    if kind is Type.Q6_K:
        parts = [noise(128 + 64 + 16), halves(generator, count, 1e-4)]
    else:
        parts = [halves(generator, count, 3e-4), halves(generator, count, 3e-3), noise(12 + (32 if kind is Type.Q5_K else 0) + 128)]
    return numpy.concatenate(parts, 1).reshape(shape[0], -1)


def coded(kind, shape, generator):
    values = generator.normal(0, 0.1, shape).astype(numpy.float32)
    if kind is Type.F16:
        return values.astype(numpy.float16)
    return k_blocks(kind, shape, generator) if kind.name.endswith("_K") else gguf.quants.quantize(values, kind)


def blocks():
    """Every type in one model; of each tensor every third row as the package reads it."""
    generator = numpy.random.default_rng(seed_of("blocks"))
    tensors, golden = [], {}
    for name, kind in BLOCKS.items():
        data = coded(kind, SHAPES[name.split(".")[-1]], generator)
        tensors.append((f"{name}.weight", data, kind))
        values = data.astype(numpy.float32) if kind is Type.F16 else gguf.quants.dequantize(data, kind)
        turned = HEADS if name.endswith("attn_q") else GROUPS if name.endswith("attn_k") else 0
        golden[name] = torch.from_numpy(unpermute(values, turned) if turned else values)[::3]
    for name in ["output_norm", *(f"blk.{layer}.{norm}" for layer in range(2) for norm in ("attn_norm", "ffn_norm"))]:
        tensors.append((f"{name}.weight", (1 + 0.2 * generator.normal(size=HIDDEN)).astype(numpy.float32), Type.F32))
    write_gguf("blocks", "llama", {
        "vocab_size": ROWS, "context_length": 24, "embedding_length": HIDDEN, "block_count": 2, "feed_forward_length": INTERMEDIATE, "rope.dimension_count": HEAD,
        "attention.key_length": HEAD, "attention.value_length": HEAD, "attention.head_count": HEADS, "attention.head_count_kv": GROUPS,
        "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 1e4,
    }, tensors)
    rows = draw_rows("blocks", vocabulary=ROWS)
    golden.update({**ragged(rows), "logits": logits_of(read("blocks"), rows)})
    write(os.path.join(FOLDER, "values.safetensors"), golden)


def read(name):
    """As transformers reads the file. (What from_pretrained(gguf_file=...) does, without the accelerate package that it asks for.)"""
    config = transformers.AutoConfig.from_pretrained(FOLDER, gguf_file=f"{name}.gguf")
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    tensors = load_gguf_checkpoint(os.path.join(FOLDER, f"{name}.gguf"), return_tensors=True, model_to_load=model)["tensors"]
    lacking, unread = model.load_state_dict(tensors, strict=False)
    assert not unread and set(lacking) <= {"lm_head.weight"}, (lacking, unread)
    model.tie_weights()
    return model.eval()


CONTROL, USER, UNUSED = 3, 4, 5
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False)
RULES = {
    "gpt-2": (WORDS, None, False),
    "smollm": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), WORDS]), None, False),
    "llama-bpe": (pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT % r"\p{N}{1,3}"), "isolated"), BYTES]), None, True),
    "qwen2": (pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT % r"\p{N}"), "isolated"), BYTES]), normalizers.NFC(), False),
}
MORE_TEXTS = [
    "<|im_start|>user\nIt's 2024.<|im_end|>", "a<user>b <user> c", "<|im_end|><|im_end|>", " unreachable unreachable", "a\u0004b <\u0004| \u0004|\u0004> \u0004",
    "12345 \u00bd\u0663\u0664 x1y22", "I\u2019LL 'LL '\u017f \u212b", "[PAD0]",
]


def vocabulary():
    """byte-bpe's tokens with one byte less, one token that no merge makes, control tokens and one that the maker defined."""
    with open(os.path.join(DATA, "byte-bpe", "tokenizer.json"), encoding="utf-8") as file:
        model = json.load(file)["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    kinds = [CONTROL if token == "<|endoftext|>" else 1 for token in tokens]
    missing = tokens.index("\u0104")  # the byte 4
    tokens[missing], kinds[missing] = "[PAD0]", UNUSED
    for token, kind in (("\u0120unreachable", 1), ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL), ("<user>", USER)):
        tokens.append(token)
        kinds.append(kind)
    return tokens, kinds, [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]


def expected(rule, tokens, kinds, merges):
    cut, normal, whole = RULES[rule]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges, ignore_merges=whole))
    tokenizer.pre_tokenizer, tokenizer.decoder = cut, decoders.ByteLevel()
    if normal is not None:
        tokenizer.normalizer = normal
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token, kind in zip(tokens, kinds) if kind == CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token, kind in zip(tokens, kinds) if kind == USER])
    return tokenizer


def tokens():
    spec = importlib.util.spec_from_file_location("texts", os.path.join(DATA, "make-tokenizer-golden.py"))
    texts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(texts)
    words, kinds, merges = vocabulary()

    def put(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(words)
        writer.add_token_types(kinds)
        writer.add_token_merges([" ".join(merge) for merge in merges])
        writer.add_bos_token_id(words.index("<|im_start|>"))
        writer.add_eos_token_id(words.index("<|im_end|>"))
        writer.add_unk_token_id(0)
        writer.add_pad_token_id(words.index("<|im_end|>"))
        writer.add_add_bos_token(False)
        writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")

    settings = {**LLAMA, "vocab_size": len(words), "hidden_size": 16, "intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1, "tie_word_embeddings": True}
    state = {name: value for name, value in build("Llama", settings, seed_of("tokens")).state_dict().items() if name != "lm_head.weight"}
    halved = [(name, values.astype(numpy.float16) if values.ndim > 1 else values, Type.F16 if values.ndim > 1 else Type.F32) for name, values, _ in stored(state, settings, "llama")]
    write_gguf("tokens", "llama", sizes_of(settings, {"rope.dimension_count": 8}), halved, put)
    asked = [*texts.TEXTS, *MORE_TEXTS]
    ids = {rule: [expected(rule, words, kinds, merges).encode(text, add_special_tokens=False).ids for text in asked] for rule in RULES}
    with open(os.path.join(FOLDER, "ids.json"), "w", encoding="utf-8") as file:
        lines = ",\n".join(f'  "{rule}": {json.dumps(found, separators=(",", ":"))}' for rule, found in ids.items())
        file.write(f'{{\n "versions": {json.dumps({"tokenizers": tokenizers.__version__})},\n "texts": {json.dumps(asked)},\n "ids": {{\n{lines}\n }}\n}}\n')


def check(name):
    """transformers reads our fp32 files to the logits of the case that they were made from."""
    golden = load_file(os.path.join(HERE, name, "golden.safetensors"))
    offsets = golden["rowOffsets"].tolist()
    found = logits_of(read(name), [golden["tokens"][start:end].numpy() for start, end in zip(offsets, offsets[1:])])
    difference = (found - golden["logits"]).abs().max() / golden["logits"].abs().max()
    print(f"{name}: transformers differs by {difference:.1e}")
    assert difference < 1e-5


if __name__ == "__main__":
    fresh("gguf")
    for case, architecture in (("llama", "llama"), ("llama-gqa", "llama"), ("qwen2", "qwen2"), ("qwen3", "qwen3"), ("olmo2", "olmo2")):
        of_case(case, architecture)
    with_biases()
    with_fused_projections()
    blocks()
    tokens()
    for case in ("llama", "llama-gqa", "qwen2"):
        check(case)
