"""Prints what the Rust tokenizers make of seeded random texts: one JSON object a line, a case and then its batches.

Run: python3 test/data/tokenizers/rust-cases.py --strings 1000 --seed 1 [directories with a tokenizer.json …]
     python3 test/data/tokenizers/rust-cases.py --golden   (writes components-golden.json, what the tests compare with)
A case is {"case", "json"} or {"case", "directory"}; a batch {"texts", "ids", "start", "end", "decoded"}, null where Rust refuses.
"""
import argparse
import hashlib
import json
import os
import random
import sys

from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))

ALPHABETS = [
    [chr(c) for c in range(32, 127)],
    list("aeiou bcd  st "),
    list(" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"),
    list("\u0300\u0301\u0308\u030a\u0323\u0327\u0334\u0345\u05b0\u064b\u0670\u093c\u094d\u0e48\u1ab0\u1dc0\u20d0\u20dd\u302a\u3099\ufe20\U0001d165"),
    list("ΑΣσςΟΔΥΣΣ. ΑΣ'Σ"),
    list("İIıiſsKkÅåẞßǅǆǈŉǰΐẖẗ\u1e9eﬀﬁﬂﬃﬆÀÉÎõü"),
    list("中文字符日本語テキスト漢字かなカナ、。「」ー々〇ﾊﾟｶﾞ"),
    list("한국어문장ᄀ까ᅢᆨᆩ가각힣ꥠힰퟋ"),
    list("😀😃👍🏽👨\u200d👩\u200d👧❤️©️®️⏏1️⃣🇫🇷🇩🇪🏴\U000e0067\U000e007f\u200d"),
    list("שלום עליכםاللغةالعربيةٍَُِّْٰ\u200e\u200f\u202e\u0600\u06dd\u070f"),
    list("हिन्दीक्षत्रक़ख़বাংলাதமிழ்తెలుగుಕನ್ನಡമലയാളം"),
    list("ไทยลาวქართულიՀայերենአማርኛ"),
    list("0123456789²½Ⅷ٣१໔𝟘①⒈㊿"),
    list(".,!?;:'\"()[]{}<>-–—_…«»“”‘’%‰№§¶†•¿¡@#$€£+×÷=~^`|\\/&*"),
    list("ＡＢｃ１２！\u2126\u212b\u212a㎏㍿ⅨĲŒœ™℠ª°"),
    list("\x00\x01\x07\x08\x0e\x1b\x7f\x80\x8f\x9f\xad\u061c\u2066\ufff9\ufffc\ufffd\ufffe\uffff\ue000\U000f0000\U0010ffff\U000e0001"),
    list("\ua7cb\ua7dc\U00010d50\U00010d70\U000105c0\u0870\u0897\u1c89\U00016d43\U00016d67\U000116d0\U000113c5\U0001e5d0\u32ff\ua7f2\U00011938"),
]
WORDS = ["the", "don't", "we'll", "I'm", "'s", "'S", "'ſ", "'LL", "can not", " n't", " do not", "<s>", "</s>", "<unk>", "<a>", "<b>", "<c>",
         "tok", "TOK", "é", "e\u0301", "<0x41>", "<0x0A>", "▁", "▁▁", "##", "##s", "</w>", "Ġ", "Ċ", "[UNK]", "[CLS]", "\r\n", "\n\n", "  ", " . ", "|",
         "A\u0301\u0301", "①\u0301", "A\u200dA", "ｶﾞ", "1234567", "camelCase", "HTTPServer", "x" * 60, "https://a.b/c?d=1", "𝔘𝔫𝔦", "क\u094d\u0958\u0301"]


def texts(count, seed):
    rng = random.Random(seed)
    out = ["", " ", "a", "\n"]
    while len(out) < count:
        pieces = []
        mix = rng.choice([1, 1, 2, 4])
        alphabets = rng.sample(ALPHABETS, mix)
        for _ in range(rng.choice([1, 2, 3, 5, 8, 13])):
            kind = rng.random()
            if kind < 0.25:
                pieces.append(rng.choice(WORDS))
            elif kind < 0.30:
                c = rng.randrange(0x110000)
                pieces.append(chr(c) if not 0xD800 <= c < 0xE000 else "\U0001f600")
            elif kind < 0.36:
                pieces.append(chr(rng.randrange(0x80, 0x3000)))
            else:
                pieces += rng.choices(rng.choice(alphabets), k=rng.choice([1, 1, 2, 3, 6]))
            if rng.random() < 0.2:
                pieces.append(" ")
        out.append("".join(pieces))
    return out[:count]


# What a component makes of a text is seen through a model that spells each piece in bytes, with "|" behind it.
BYTES = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": "|",
         "fuse_unk": False, "byte_fallback": True, "ignore_merges": False,
         "vocab": {f"<0x{b:02X}>": b for b in range(256)}, "merges": []}


def whole(model=BYTES, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None, added=()):
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **a}
                             for i, a in added],
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": decoder, "model": model}


def steps(kind, key, parts):
    return {"type": "Sequence", key: parts}


def replace(pattern, content, kind="Regex"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def metaspace(scheme, cut=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


def byte_level(prefix=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def charsmap():
    """A character map in SentencePiece's format: compatibility forms, spaces, small letters, and clusters."""
    import base64
    import importlib.util
    spec = importlib.util.spec_from_file_location("tables", os.path.join(HERE, "make-unicode-tables.py"))
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    pairs = {"①": "1", "Ａ": "A", "\u3000": " ", "\t": " ", "\n": " ", "\r": "", "A": "a", "B": "b", "ﬁ": "fi", "½": "1/2", "e\u0301": "é", "A\u030a": "å",
             "™": "TM", "ｶ": "カ", "ｶﾞ": "ガ", "\u0958": "क़", "\u200b": "", "®": "(R)", "©": "(C)", "ᅡ": "a", "…": "...", "😀": ":)", "\u0301": "'"}
    return base64.b64encode(tables.charsmap_bytes(pairs.items())).decode()


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?"
         r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = r"(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
REGEXES = [LLAMA3, GPT4O, CL100K, r"\w+|[^\w\s]+", r"\p{Han}+|[\p{Hiragana}\p{Katakana}]+|\p{Hangul}+", r"^\s*\S|\S$", r"(?<=\p{L})\p{N}|(?<!a)e", r"\b\p{L}",
           r"[[a-m]&&[^aeiou]]+", r"(?>\p{L}+)\p{M}", r"x{2,3}|s{2,}", r"a*?b", r"\P{L}+?", r"[^\P{N}5]", r"\d\D|\S\W", r"a|", r"\p{^L}", r"(?i:k|s)+", r"\A.|.\z",
           r"\u4e2d|\x41|\x{1F600}", r".", r"\h+", r"\p{Lu}\p{Ll}*", r"[\p{L}\p{M}]+|[\p{P}\p{S}]+[\r\n]*", r"[一-龥぀-ゟ゠-ヿ]+", r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+", r"$", r"^"]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def components():
    """All components by name, each in a tokenizer that shows what it does."""
    cases = {}
    bert = lambda **flags: {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False, **flags}
    normal = {**{n: {"type": n} for n in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]},
              "BertNormalizer": bert(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True),
              "BertNormalizer clean_text": bert(clean_text=True), "BertNormalizer handle_chinese_chars": bert(handle_chinese_chars=True),
              "BertNormalizer strip_accents": bert(strip_accents=True), "BertNormalizer lowercase": bert(lowercase=True),
              "Strip": {"type": "Strip", "strip_left": True, "strip_right": True}, "Strip left": {"type": "Strip", "strip_left": True, "strip_right": False},
              "Strip right": {"type": "Strip", "strip_left": False, "strip_right": True}, "Prepend": {"type": "Prepend", "prepend": "▁"},
              "Replace text": replace(" ", "▁", "String"), "Replace regex": replace(" {2,}", "▁"), "Replace with more": replace("[aeiou]", "<$1>"),
              "Replace empty": replace("x*", "-"), "Precompiled": {"type": "Precompiled", "precompiled_charsmap": charsmap()},
              "Sequence": steps("", "normalizers", [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": False}])}
    for name, part in normal.items():
        cases[f"normalizer {name}"] = whole(normalizer=part)
        cases[f"normalizer {name}, then Metaspace first"] = whole(normalizer=part, pre_tokenizer=steps("", "pretokenizers", [{"type": "WhitespaceSplit"}, metaspace("first")]))
    pre = {**{n: {"type": n} for n in ["BertPreTokenizer", "Whitespace", "WhitespaceSplit"]},
           "Digits": {"type": "Digits", "individual_digits": False}, "Digits individual": {"type": "Digits", "individual_digits": True},
           **{f"Punctuation {b}": {"type": "Punctuation", "behavior": b} for b in BEHAVIORS},
           "CharDelimiterSplit": {"type": "CharDelimiterSplit", "delimiter": "."}, "FixedLength": {"type": "FixedLength", "length": 3},
           **{f"Metaspace {s}": metaspace(s) for s in ["always", "first", "never"]}, "Metaspace whole": metaspace("first", False),
           "ByteLevel": byte_level(), "ByteLevel with space": byte_level(True), "ByteLevel whole": byte_level(True, False),
           **{f"Split text {b}": split(" ", b, kind="String") for b in BEHAVIORS}, **{f"Split text {b} inverted": split(" ", b, True, "String") for b in BEHAVIORS},
           **{f"Split {b}": split(r"\s+|\p{N}", b) for b in BEHAVIORS}, **{f"Split {b} inverted": split(r"\p{L}+", b, True) for b in BEHAVIORS},
           **{f"Split regex {r}": split(r) for r in REGEXES},
           "Sequence": steps("", "pretokenizers", [{"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Isolated"}, byte_level(True)]),
           "Sequence of Metaspace": steps("", "pretokenizers", [split(r"\p{N}+"), metaspace("first"), {"type": "Digits", "individual_digits": True}])}
    for name, part in pre.items():
        cases[f"pre-tokenizer {name}"] = whole(pre_tokenizer=part)
    cases.update(model_cases())
    cases.update(added_cases())
    cases.update(decoder_cases())
    return cases


def model_cases():
    letters = "abcdest Σé中😀▁'"
    pieces = list(letters) + ["th", "es", "est", "ab", "abc", "st", "ss", "<unk>", "<0x41>"]
    vocab = {t: i for i, t in enumerate(pieces)}
    merges = [["e", "s"], ["es", "t"], ["a", "b"], ["ab", "c"], ["s", "t"], ["s", "s"]]
    bpe = lambda **more: {**BYTES, "end_of_word_suffix": None, "byte_fallback": False, "vocab": vocab, "merges": merges, **more}
    some = {**vocab, **{f"<0x{b:02X}>": 100 + b for b in range(256) if b != 0xC3}}
    some["<0x41>"] = 24
    cut = {"type": "WhitespaceSplit"}
    suffixed = {**vocab, "t</w>": 30, "st</w>": 31, "est</w>": 32}
    continued = {t: i for i, t in enumerate(["a", "b", "##a", "##b", "ab", "abb", "##bb", "<unk>", "##ab"])}
    cases = {
        "model BPE": whole(bpe(), pre_tokenizer=cut), "model BPE unknown": whole(bpe(unk_token="<unk>"), pre_tokenizer=cut),
        "model BPE fused unknown": whole(bpe(unk_token="<unk>", fuse_unk=True)), "model BPE ignore_merges": whole(bpe(ignore_merges=True, unk_token="<unk>"), pre_tokenizer=cut),
        "model BPE bytes": whole(bpe(byte_fallback=True, vocab=some, unk_token="<unk>")),
        "model BPE bytes fused": whole(bpe(byte_fallback=True, vocab=some, unk_token="<unk>", fuse_unk=True)),
        "model BPE suffix": whole(bpe(end_of_word_suffix="</w>", vocab=suffixed, merges=merges + [["s", "t</w>"], ["e", "st</w>"]], unk_token="<unk>"), pre_tokenizer=cut),
        "model BPE prefix": whole(bpe(continuing_subword_prefix="##", vocab=continued, merges=[["##b", "##b"], ["a", "##b"], ["ab", "##b"], ["a", "##bb"]], unk_token="<unk>"),
                                  normalizer=replace("[^ab ]", "b"), pre_tokenizer=cut),
        "model WordLevel": whole({"type": "WordLevel", "vocab": {"<unk>": 0, "the": 1, "don't": 2, "a": 3, "'s": 4}, "unk_token": "<unk>"}, pre_tokenizer=cut),
        "model WordLevel without unknown": whole({"type": "WordLevel", "vocab": {"the": 0, "a": 1}, "unk_token": "<unk>"}, pre_tokenizer=cut),
        "model WordPiece": whole({"type": "WordPiece", "vocab": {t: i for i, t in enumerate(["[UNK]", *letters, *("##" + c for c in letters), "##est", "##ss", "es", "##"])},
                                  "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 20}, pre_tokenizer={"type": "BertPreTokenizer"}),
    }
    scores = [["<unk>", 0.0], ["a", -2.0], ["b", -2.5], ["s", -1.5], ["t", -1.7], ["e", -1.1], ["es", -2.2], ["est", -2.9], ["ab", -4.0], ["▁", -3.0], ["▁the", -1.0],
              ["<0x0A>", -9.0], ["<0x41>", -9.0], ["中", -3.0], ["😀", -3.0], ["st", -3.2], ["ss", -3.0], ["sss", -4.5]]
    every = scores + [[f"<0x{b:02X}>", -9.0] for b in range(256) if b not in (0x0A, 0x41, 0xC3)]
    for name, vocab_, bytes_, unknown in [("", scores, False, 0), (" bytes", scores, True, 0), (" all bytes", every, True, 0), (" without unknown", scores, False, None)]:
        model = {"type": "Unigram", "vocab": vocab_, "unk_id": unknown, "byte_fallback": bytes_}
        cases[f"model Unigram{name}"] = whole(model)
        cases[f"model Unigram{name}, Metaspace"] = whole(model, pre_tokenizer=metaspace("always"))
    return cases


def added_cases():
    cases = {}
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [257], "tokens": ["</s>"]}}}
    ends = [(256, {"content": "<s>", "special": True}), (257, {"content": "</s>", "special": True})]
    for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"]:
        for other in ["lstrip", "rstrip", "normalized"]:
            flags = {flag: True, other: True}
            tokens = ends + [(258, {"content": "tok", **flags}), (259, {"content": "<a>", **flags}), (260, {"content": "<a><b>", **flags}), (261, {"content": "É", **flags}), (262, {"content": "  ", **flags})]
            for name, part in [("", None), (" lowercase", {"type": "Lowercase"}), (" NFD", {"type": "NFD"})]:
                cases[f"added tokens {flag} {other}{name}"] = whole(normalizer=part, added=tokens, pre_tokenizer=metaspace("first"), post_processor=template)
    cases["post-processor Roberta"] = whole(added=ends, post_processor={"type": "RobertaProcessing", "sep": ["</s>", 257], "cls": ["<s>", 256], "trim_offsets": True, "add_prefix_space": False})
    cases["post-processor Bert"] = whole(added=ends, post_processor={"type": "BertProcessing", "sep": ["</s>", 257], "cls": ["<s>", 256]})
    cases["post-processor Sequence"] = whole(added=ends, post_processor=steps("", "processors", [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, template]))
    return cases


def decoder_cases():
    tokens = ["a", "b", " ", "▁", "▁a", "a▁b", "##a", "##", "</w>", "a</w>", "b</w>c", "Ġ", "Ġa", "Ċ", "Ã", "©", "é", "中", "<0x41>", "<0xC3>", "<0xA9>", "<0xFF>", "<0x0a>", "<pad>", "|",
              ".", "?", "'", "n't", "'m", "do", "not", " .", " n't", "'s", "  ", "x", "-"]
    model = {"type": "WordLevel", "vocab": {t: i for i, t in enumerate(tokens)}, "unk_token": "a"}
    parts = {"none": None, "ByteLevel": byte_level(), "ByteFallback": {"type": "ByteFallback"}, "Fuse": {"type": "Fuse"}, "Metaspace": metaspace("always"), "Metaspace first": metaspace("first"),
             "Metaspace never": metaspace("never"), "WordPiece": {"type": "WordPiece", "prefix": "##", "cleanup": True}, "WordPiece plain": {"type": "WordPiece", "prefix": "##", "cleanup": False},
             "BPEDecoder": {"type": "BPEDecoder", "suffix": "</w>"}, "CTC": {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
             "CTC plain": {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": False}, "Replace": replace("▁", " ", "String"), "Replace regex": replace("[ab]+", "<$0>"),
             "Strip": {"type": "Strip", "content": "a", "start": 1, "stop": 0},
             "Sequence": steps("", "decoders", [replace("▁", " ", "String"), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}])}
    added = [(len(tokens), {"content": "<s>", "special": True}), (len(tokens) + 1, {"content": "é ", "special": False})]
    return {f"decoder {name}": whole(model, decoder=part, added=added) for name, part in parts.items()}


def tried(call):
    try:
        return call()
    except BaseException as error:  # a panic of Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def batch(tok, lines, rng):
    """What Rust makes of the texts, and of random ids."""
    encodings = [tried(lambda: tok.encode(t, add_special_tokens=False).ids) for t in lines]
    around = tried(lambda: (tok.encode("", add_special_tokens=True).ids, tok.encode("a", add_special_tokens=True).ids, tok.encode("a", add_special_tokens=False).ids))
    size = max(tok.get_vocab(with_added_tokens=True).values()) + 1
    draws = [ids[:64] if ids and rng.random() < 0.5 else [rng.randrange(size) for _ in range(rng.randrange(1, 9))] for ids in encodings[:: 4]]
    return {"texts": lines, "ids": encodings, "around": around, "draws": draws, "decoded": [tried(lambda: tok.decode(d, skip_special_tokens=False)) for d in draws]}


def outputs(tok, count, seed, size=500):
    rng = random.Random(seed)
    for start in range(0, count, size):
        yield batch(tok, texts(min(size, count - start), seed * 1000003 + start), rng)


def golden():
    lines = texts(220, 7)
    cases = []
    for name, source in components().items():
        tok = Tokenizer.from_str(json.dumps(source))
        made = batch(tok, lines, random.Random(7))
        cases.append({"case": name, "json": source, "around": made["around"], "draws": made["draws"][:12], "decoded": made["decoded"][:12],
                      "hash": hashlib.sha256(json.dumps(made["ids"], separators=(",", ":")).encode()).hexdigest()})
    bytes_ = json.dumps(BYTES)
    models = {}
    for case in cases:
        model = json.dumps(case["json"].pop("model"), ensure_ascii=False)
        case["model"] = models.setdefault(model, len(models))
        if case["model"] == 0 or not case["case"].startswith("decoder"):
            case["draws"], case["decoded"] = [], []
        case["json"] = {k: v for k, v in case["json"].items() if v and k != "version"}
    with open(os.path.join(HERE, "components-golden.json"), "w", encoding="utf-8") as f:
        f.write('{\n "texts": ' + json.dumps(lines) + ',\n "models": [\n' + ",\n".join("  " + m for m in models) + '\n ],\n "cases": [\n')
        f.write(",\n".join("  " + json.dumps(c, ensure_ascii=False) for c in cases) + "\n ]\n}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--strings", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("directories", nargs="*")
    options = parser.parse_args()
    if options.golden:
        return golden()
    for name, source in components().items():
        if options.only in name:
            tok = Tokenizer.from_str(json.dumps(source))
            print(json.dumps({"case": name, "json": source}))
            for made in outputs(tok, options.strings, options.seed):
                print(json.dumps(made), flush=True)
    for directory in options.directories:
        tok = Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
        tok.no_padding()
        tok.no_truncation()
        print(json.dumps({"case": directory, "directory": directory}))
        for made in outputs(tok, options.strings, options.seed):
            print(json.dumps(made), flush=True)


if __name__ == "__main__":
    sys.exit(main())
