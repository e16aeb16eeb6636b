"""Writes lib/data/tokenizers/unicode-tables.ts: what the Rust tokenizers know of each character, asked of them one by one.

Run: python3 test/data/tokenizers/make-unicode-tables.py   (needs the package `tokenizers`)
Rust, Oniguruma and Node each carry a Unicode version of their own. So the tables hold the first two, and Node's are not used.
"""
import json
import os
import struct
import sys

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "..", "lib", "data", "tokenizers", "unicode-tables.ts")
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ALL = "".join(map(chr, POINTS))
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
SCRIPTS = "Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew Thai Devanagari Armenian Georgian".split()


def base36(value):
    out = ""
    while True:
        out = DIGITS[value % 36] + out
        value //= 36
        if value == 0:
            return out


def runs(members):
    """Lengths of the runs of characters outside and inside the set, in turn, from U+0000 on."""
    points = sorted(members)
    lengths, at, index = [], 0, 0
    while index < len(points):
        start = end = points[index]
        while index < len(points) and points[index] == end:
            index, end = index + 1, end + 1
        lengths += [start - at, end - start]
        at = end
    return ",".join(map(base36, lengths))


def removed_by(normalizer):
    """The characters that a normalizer of single characters removes."""
    kept = set(normalizer.normalize_str(ALL))
    return {c for c in POINTS if chr(c) not in kept}


def oniguruma(pattern):
    return removed_by(normalizers.Replace(Regex(pattern), ""))


def general_categories():
    of = {c: name for name in CATEGORIES for c in oniguruma(r"\p{%s}" % name)}
    assert len(of) == len(POINTS), "every character has one category"
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_$!"
    out, start = [], 0
    for at in range(1, 0x110001):
        name = of.get(start, "Cs") if at < 0x110001 else None
        here = of.get(at, "Cs" if at < 0x110000 else None)
        if here != name:
            out.append(("-" if name == "Cs" else letters[CATEGORIES.index(name)]) + base36(at - start))
            start = at
    return ",".join(out)


def alone(pre_tokenizer):
    """The characters that a pre-tokenizer cuts off from an "a" before them."""
    return {c for c in POINTS if len(pre_tokenizer.pre_tokenize_str("a" + chr(c))) != 1
            or pre_tokenizer.pre_tokenize_str("a" + chr(c))[0][0] == "a"}


def lower_case():
    """Ranges of equal distance: start, length, step, distance to the small letter; and the letters that become several."""
    form = normalizers.Lowercase()
    single, several = [], []
    for c in POINTS:
        small = form.normalize_str(chr(c))
        if small == chr(c):
            continue
        (single if len(small) == 1 else several).append((c, small))
    ranges = []
    for c, small in single:
        delta = ord(small) - c
        if ranges:
            start, count, step, old = ranges[-1]
            gap = c - (start + (count - 1) * (step or 1))
            if old == delta and gap in (1, 2) and step in (0, gap):
                ranges[-1] = (start, count + 1, gap, old)
                continue
        ranges.append((c, 1, 0, delta))
    return ";".join(f"{s},{n},{max(step, 1)},{d}" for s, n, step, d in ranges), ";".join(f"{c},{s}" for c, s in several)


def charsmap_bytes(pairs):
    """A SentencePiece character map (a double array of Darts, then the texts) of single characters onto texts."""
    keys = sorted((k.encode(), v) for k, v in pairs)
    texts, offsets = b"", {}
    for key, value in keys:
        offsets[key] = len(texts)
        texts += value.encode() + b"\0"
    units, used = [0], {0}

    def place(prefix, at):
        below = sorted({k[len(prefix)] for k in offsets if k.startswith(prefix) and len(k) > len(prefix)})
        labels = ([0] if prefix in offsets else []) + below
        base = 1
        while any((base ^ label) in used for label in labels) or base == at:
            base += 1
        used.add(base)
        used.update(base ^ label for label in labels)
        while len(units) <= base | 255:
            units.append(0)
        units[at] |= ((base ^ at) << 10) | (256 if prefix in offsets else 0)
        for label in below:
            units[base ^ label] |= label
        if prefix in offsets:
            units[base] = offsets[prefix] | 1 << 31
        for label in below:
            place(prefix + bytes([label]), base ^ label)

    place(b"", 0)
    blob = b"".join(struct.pack("<I", unit) for unit in units)
    return struct.pack("<I", len(blob)) + blob + texts


def charsmap(pairs):
    return normalizers.Precompiled(charsmap_bytes(pairs))


def graphemes():
    """Characters that join the one before them, and those that the one after them joins (each cluster of under 6 bytes)."""
    form = charsmap([("A", "x")])
    joins = {c for c in POINTS if c != 65 and form.normalize_str("A" + chr(c)) == "x"}
    far = {2: "\u20d0", 3: "\u0301", 4: "\u0301"}
    leads = {c for c in POINTS if c >= 128 and c not in joins
             and form.normalize_str(chr(c) + "A" + far[len(chr(c).encode())]).endswith("x" + far[len(chr(c).encode())])
             and form.normalize_str("A" + far[len(chr(c).encode())]) == "x"}
    return joins, leads


def normalized():
    """Characters that a normal form changes, reorders or joins. All others stand for themselves and part their neighbours."""
    compatible, canonical = normalizers.NFKD(), normalizers.NFD()
    active = set()
    for c in POINTS:
        text = chr(c)
        pieces = compatible.normalize_str(text) + canonical.normalize_str(text)
        moves = canonical.normalize_str(text + "\u0334") != text + "\u0334" and pieces == text * 2
        moves = moves or canonical.normalize_str("\u0300" + text) != "\u0300" + pieces[len(pieces) // 2:]
        if pieces != text * 2 or moves:
            active.update([c, *map(ord, pieces)])
    return active


def main():
    mark = removed_by(normalizers.StripAccents())
    bert = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    spaced = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False)
    accents = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    cleaned = {c for c in POINTS if bert.normalize_str("a" + chr(c) + "a") == "aa"}
    chinese = {c for c in POINTS if spaced.normalize_str(chr(c)) != chr(c)}
    stripped = {c for c in POINTS if accents.normalize_str("a" + chr(c)) == "a"}
    joins, leads = graphemes()
    lower, lower_several = lower_case()
    tables = {
        "generalCategories": general_categories(),
        "oniguruma.word": runs(oniguruma(r"\w")),
        "oniguruma.space": runs(oniguruma(r"\s")),
        **{f"script.{name}": runs(oniguruma(r"\p{%s}" % name)) for name in SCRIPTS},
        "rust.numeric": runs(alone(pre_tokenizers.Digits(individual_digits=False))),
        "rust.space": runs(alone(pre_tokenizers.WhitespaceSplit())),
        "rust.punctuation": runs(alone(pre_tokenizers.Punctuation())),
        "rust.whitespaceCut": runs(alone(pre_tokenizers.Whitespace())),
        "rust.mark": runs(mark),
        "normal.active": runs(normalized()),
        "bert.cleaned": runs(cleaned),
        "bert.chinese": runs(chinese),
        "bert.accent": runs(stripped),
        "grapheme.joins": runs(joins),
        "grapheme.leads": runs(leads),
        "lower": lower, "lowerSeveral": lower_several,
    }
    assert alone(pre_tokenizers.BertPreTokenizer()) == alone(pre_tokenizers.WhitespaceSplit()) | alone(pre_tokenizers.Punctuation())
    with open(OUT, "w", encoding="utf-8") as f:
        f.write("// Made by test/data/tokenizers/make-unicode-tables.py with tokenizers " + tokenizers.__version__ + "; do not edit.\n")
        f.write("// Sets are lengths of runs outside and inside, in turn, in base 36; see unicode.ts.\n/* eslint-disable max-lines */\n\n")
        f.write("export const unicodeTables = {\n")
        for name, value in tables.items():
            pieces = [value[at : at + 108] for at in range(0, len(value), 108)]
            body = " +\n    ".join(json.dumps(piece) for piece in pieces)
            f.write(f"  {json.dumps(name) if '.' in name else name}:{' ' if len(pieces) == 1 else chr(10) + '    '}{body},\n")
        f.write("} as const;\n")


if __name__ == "__main__":
    main()
