"""What transformers computes on SmolLM2's GGUF file, and the ids that the tokenizers package gives for the file's own tokens and merges.

    python test/full-size/smollm2.py MODEL.gguf OUT.safetensors

Needs torch, transformers, gguf and safetensors. The weights are transformers' reading of the file in fp32. The ids are not:
transformers takes this file's tokenizer for SentencePiece and gives other ids, so the true one is built here: digits one by one, then
GPT-2's byte-level BPE. Writes `tokens`, `rowOffsets`, `lastLogits` [row, vocabulary] and `shortestLogits` [token, vocabulary]; the metadata
has the `texts` as JSON and the index of the `shortest`.
"""

import json
import os
import sys

import gguf
import numpy
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

CONTROL = 3
TEXTS = [
    "The capital of France is", "Paris", "In 1969, 12 people and 1,000,000 others; 3.14159 \u00bd \u00b2 \u0664\u0662.",
    "don't we'll they've I'm he'd she's CAN'T \u2019s", "  two  spaces\n\n\ttab   \n", "def f(x):\n    return x + 1  # comment\n",
    "Z\u00fcrich na\u00efve \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u05e2\u05d1\u05e8\u05d9\u05ea \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0939\u093f\u0928\u094d\u0926\u0940 \u4e2d\u6587 \u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4 \u0e44\u0e17\u0e22",
    "\U0001f600 \U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001f1eb\U0001f1f7", "bytes it lacks: \u0004 <\u0004| \u0016 \u001d",
    "<|im_start|>user\nWhat is 12 \u00d7 12?<|im_end|>\n<|im_start|>assistant\n", "a<|endoftext|>b <|im_end|> <|im_start|", "next\u0085line\u2028separator\ufeffbom",
]


def tokenizer_of(path):
    fields = gguf.GGUFReader(path).fields
    contents = lambda name: fields[f"tokenizer.ggml.{name}"].contents()
    assert contents("pre") == "smollm"
    tokens, kinds = contents("tokens"), contents("token_type")
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in contents("merges")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token, kind in zip(tokens, kinds) if kind == CONTROL])
    return tokenizer


def model_of(path):
    """What from_pretrained(gguf_file=...) does, without the accelerate package that it asks for."""
    config = transformers.AutoConfig.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    lacking, unread = model.load_state_dict(load_gguf_checkpoint(path, return_tensors=True, model_to_load=model)["tensors"], strict=False)
    assert not unread and lacking == ["lm_head.weight"], (lacking, unread)
    model.tie_weights()
    return model.eval()


def main(path, target):
    transformers.logging.set_verbosity_error()
    tokenizer = tokenizer_of(path)
    rows = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    model = model_of(path)
    shortest = min(range(len(rows)), key=lambda index: len(rows[index]) if len(rows[index]) > 3 else len(rows[index]) + 1000)
    with torch.no_grad():
        logits = [model(torch.tensor([row])).logits[0] for row in rows]
    save_file({
        "tokens": torch.tensor(numpy.concatenate(rows), dtype=torch.int32),
        "rowOffsets": torch.tensor(numpy.cumsum([0, *(len(row) for row in rows)]), dtype=torch.int32),
        "lastLogits": torch.stack([row[-1] for row in logits]), "shortestLogits": logits[shortest].clone(),
    }, target, {"texts": json.dumps(TEXTS), "shortest": str(shortest)})


if __name__ == "__main__":
    main(*sys.argv[1:])
