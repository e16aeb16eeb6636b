"""Parquet files of every compression and shape that people have, each beside the same rows as JSONL. Needs pyarrow.

python test/data/parquet/make.py test/data/parquet
"""
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

folder = Path(sys.argv[1])
cities = ["Oslo", "Rom", "Zürich", "東京", "Paris"]
plain = [
    {"id": f"r{i}", "text": f"{cities[i % 5]} is city {i}. " * (1 + i % 3), "label": ["yes", "no"][i % 2], "n": i}
    for i in range(40)
]
turns = [{"role": "user", "content": "Where is Oslo?"}, {"role": "assistant", "content": "In Norway."}]
nested = [
    {"messages": turns, "choices": ["a", "b"], "answer": {"text": "x", "start": 3}, "source": "s0"},
    {"messages": turns[:1], "choices": [], "answer": None, "source": None},
    {"messages": turns * 2, "choices": ["c"], "answer": {"text": "y", "start": 2**40}, "source": "s2"},
]


def write(name, rows, **options):
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet", **options)
    with open(folder / f"{name}.jsonl", "w") as file:
        for row in rows:
            file.write(json.dumps({k: v for k, v in row.items() if v is not None}, ensure_ascii=False) + "\n")


for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    write(codec, plain[: 40 if codec == "snappy" else 6], compression=codec, row_group_size=16)
write("no-dictionary", plain[:6], use_dictionary=False, data_page_version="2.0", compression="zstd")
write("delta", plain[:6], use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY", "n": "DELTA_BINARY_PACKED"})
write("nested", nested)
binary = pa.table({"text": ["a", "b"], "image": pa.array([b"\xff\xd8\x00", b"\x89PNG"], pa.binary())})
pq.write_table(binary, folder / "binary.parquet")
