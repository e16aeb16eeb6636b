"""Writes tokenizer-golden.json: texts, and the ids transformers gives them (add_special_tokens=False).

Run: python3 test/data/make-tokenizer-golden.py   (needs ../shared/data beside the repository)
Also makes byte-bpe/, a tiny byte-level BPE tokenizer of our own that needs nothing from outside, and golden ids for it.
"""
import json
import os
import sys

import tokenizers
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.path.join(HERE, "..", "..", "..", "shared", "data")

TEXTS = [
    "",
    " ",
    "   ",
    "\n",
    "\t\tindent",
    "The capital of France is Paris.",
    " leading space",
    "trailing space ",
    "two  spaces   three    four",
    "a\nb\r\nc\n\n\nd",
    "    def f(x):\n        return x  # comment\n",
    "tab\tseparated\tvalues",
    "no\u00a0break\u2003em\u200bzero\u3000ideographic",
    "next\u0085line\u2028separator\ufeffbom\u180emvs",
    "don't we'll they've I'm he'd she's CAN'T WE'LL",
    "don\u2019t \u201cquoted\u201d \u2014 dash\u2026",
    "1234567890 3.14159 1,000,000 \u00bd \u00b2 \u2167",
    "mixed123text 4you x2y2",
    "!!! ??? ... ,,, --- ___ ***",
    "https://example.com/a?b=c&d=%20#frag",
    "user.name+tag@example.co.uk",
    "CamelCaseIdentifier snake_case_identifier kebab-case",
    "Claim : Vinson Massif is in Antarctica",
    "/ Evidence : (0)Where is it? In the Sentinel Range (1)How high is it? 4,892 m",
    "/ Answer :",
    "Z\u00fcrich na\u00efve caf\u00e9 \u0141\u00f3d\u017a \u0130stanbul \u1e9e",
    "e\u0301 decomposed, \u00e9 composed, A\u030a vs \u00c5",
    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u03ba\u03b5\u03af\u03bc\u03b5\u03bd\u03bf",
    "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442, \u0443\u043a\u0440\u0430\u0457\u043d\u0441\u044c\u043a\u0430",
    "\u05e2\u05d1\u05e8\u05d9\u05ea \u05e2\u05dd \u05e0\u05b4\u05e7\u05bc\u05d5\u05bc\u05d3",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0645\u064e\u0643\u0652\u062a\u064e\u0628",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u092a\u093e\u0920 \u0967\u0968\u0969",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 \u0e44\u0e21\u0e48\u0e21\u0e35\u0e27\u0e23\u0e23\u0e04",
    "\u4e2d\u6587\u6587\u672c\uff0c\u6ca1\u6709\u7a7a\u683c\u3002",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3000\u5168\u89d2",
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5 \u1112\u1161\u11ab",
    "\u10e5\u10d0\u10e0\u10d7\u10e3\u10da\u10d8 \u0540\u0561\u0575\u0565\u0580\u0565\u0576 \u1260\u12a0\u121b\u122d\u129b",
    "\U0001f600\U0001f603 smile \U0001f44d\U0001f3fd skin \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family",
    "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea flags \u2764\ufe0f heart \u00a9\ufe0f",
    "\U0001d54f\U0001d550 math \U00020000 rare han \U0001f9ff",
    "x\u0300\u0301\u0302\u0303\u0304 zalgo h\u0338e\u0338l\u0338l\u0338o\u0338",
    "control\u0000nul\u0001soh\u001besc\u007fdel",
    "\ufffd replacement \ufffe nonchar \ue000 private",
    "\ufb01 ligature \uff21\uff22 fullwidth \u2126 ohm \u212b angstrom",
    "</s>",
    "a</s>b",
    "a </s> b",
    "<s></s><pad><unk>",
    "<|endoftext|>",
    "one<|endoftext|>two <|endoftext|> three",
    "<|padding|>x<|padding|>",
    "<|start_story|>Once upon a time<|end_story|>",
    "Once <|start_story|> upon",
    "<|endoftext|",
    "< |endoftext|>",
    "</s></s></s>",
    "  </s>  ",
    "space before  <|endoftext|>  and after",
    "a" * 300,
    "ab" * 200,
    " " * 40 + "x",
    "\n" * 20,
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor.",
    "__proto__ constructor toString hasOwnProperty",
    "\u2581underline\u2581token \u0120G-dot\u010a",
    "<0x0A> literal byte token <0xE2>",
    "'s 't 're 've 'm 'll 'd ''s",
    "\u0664\u0662 arabic digits \u09ea bengali \U0001d7d8 math digits",
    "\u0301starts with a mark",
]


def byte_bpe(directory):
    """A byte-level BPE tokenizer of 320 ids, trained on TEXTS and a few sentences of our own."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(TEXTS * 3, trainer)
    os.makedirs(directory, exist_ok=True)
    tok.save(os.path.join(directory, "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    with open(os.path.join(directory, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2)
    return PreTrainedTokenizerFast(tokenizer_file=os.path.join(directory, "tokenizer.json"), **{k: v for k, v in config.items() if k != "tokenizer_class"})


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
# Pre-tokenizers of other families, each on the vocabulary of byte-bpe (in words: on a word-level one).
VARIANTS = {
    "byte level with prefix space": {**BYTES, "use_regex": True, "add_prefix_space": True},
    "llama 3 words": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False}, BYTES]},
    "single digits": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, {**BYTES, "use_regex": True}]},
    "digits": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": False}, BYTES]},
    "punctuation": {"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": "Isolated"}, BYTES]},
    "removed text": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"String": "."}, "behavior": "Removed", "invert": False}, BYTES]},
    "metaspace words": {"type": "Sequence", "pretokenizers": [{"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}, BYTES]},
    "delimiter": {"type": "Sequence", "pretokenizers": [{"type": "CharDelimiterSplit", "delimiter": "-"}, BYTES]},
    "words": {"type": "Whitespace"},
    "words between spaces": {"type": "WhitespaceSplit"},
}


def word_level():
    """A word-level tokenizer.json with an unknown token; half of the words of TEXTS."""
    tok = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tok.pre_tokenizer = pre_tokenizers.Whitespace()
    words = {w for t in TEXTS for w, _ in tok.pre_tokenizer.pre_tokenize_str(t)}
    vocab = {w: i for i, w in enumerate(["<unk>", "</s>"] + sorted(words)[::2])}
    tok = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tok.add_special_tokens(["</s>"])
    return json.loads(tok.to_str())


def variants(directory):
    with open(os.path.join(directory, "tokenizer.json"), encoding="utf-8") as f:
        byte_json = json.load(f)
    words = word_level()
    made = {}
    for name, part in VARIANTS.items():
        source = {**(words if name.startswith("words") else byte_json), "pre_tokenizer": part}
        tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(source)))
        made[name] = {"pre_tokenizer": part, "ids": [tok.encode(t, add_special_tokens=False) for t in TEXTS]}
    return words, made


def main():
    def fast(path):
        """The class that takes tokenizer.json as it stands. (AutoTokenizer gives tinystories-656k transformers 5's
        LlamaTokenizer, which rebuilds the pre-tokenizer and drops unknown characters, unlike the file and version 4.)"""
        return PreTrainedTokenizerFast(tokenizer_file=os.path.join(SHARED, path, "tokenizer.json"))

    sources = {
        "byte-bpe": byte_bpe(os.path.join(HERE, "byte-bpe")),
        "tokenizers/opt": AutoTokenizer.from_pretrained(os.path.join(SHARED, "tokenizers/opt")),
        "tokenizers/gpt2": fast("tokenizers/gpt2"),
        "tokenizers/gpt-neox-20b": fast("tokenizers/gpt-neox-20b"),
        "models/tinystories-656k": fast("models/tinystories-656k"),
    }
    out = {"versions": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}, "texts": TEXTS, "ids": {}}
    for name, tok in sources.items():
        out["ids"][name] = [tok.encode(t, add_special_tokens=False) for t in TEXTS]
    with open(os.path.join(HERE, "tokenizer-golden.json"), "w", encoding="utf-8") as f:
        f.write("{\n")
        f.write(f' "versions": {json.dumps(out["versions"])},\n "texts": {json.dumps(TEXTS)},\n "ids": {{\n')
        f.write(",\n".join(f'  "{n}": {json.dumps(v, separators=(",", ":"))}' for n, v in out["ids"].items()))
        words, made = variants(os.path.join(HERE, "byte-bpe"))
        f.write(f'\n }},\n "words": {json.dumps(words)},\n "variants": {{\n')
        f.write(",\n".join(f'  "{n}": {json.dumps(v, separators=(",", ":"))}' for n, v in made.items()))
        f.write("\n }\n}\n")
    print("wrote", len(TEXTS), "texts for", ", ".join(sources), file=sys.stderr)


if __name__ == "__main__":
    main()
