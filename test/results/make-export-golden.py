# Reads the files that export.test.ts writes with pandas and numpy, and keeps what these saw: run it with
#   WRITE_GOLDEN=1 npx jest test/results/export.test.ts -t "golden files" && python test/results/make-export-golden.py
# (pip install pandas pyarrow numpy). It fails where CSV, Parquet, JSON and NumPy files disagree.
import json, math, pathlib
import numpy, pandas

folder = pathlib.Path(__file__).parent / "export"
seen = {}
for path in sorted(folder.glob("*.csv")):
    # "keep_default_na" would read the id "NA" as missing; the numbers' NaN is read either way
    ids = {name: str for name in pandas.read_csv(path, nrows=0).columns if name.endswith("_id") or name in ("id", "site", "subset")}
    table = pandas.read_csv(path, dtype=ids, keep_default_na=False, na_values={"score": ["NaN"]})
    parquet = pandas.read_parquet(path.with_suffix(".parquet"))
    assert list(table.columns) == list(parquet.columns), path
    for name in table.columns:
        a, b = table[name].to_numpy(), parquet[name].to_numpy()
        same = (a == b) | ((a != a) & (b != b)) if a.dtype != object else a == b
        if b.dtype == numpy.float32:
            same = numpy.isclose(a.astype(numpy.float32), b, rtol=0, atol=0, equal_nan=True)
        assert same.all(), (path, name, a, b)
    seen[path.stem] = {
        "columns": list(table.columns),
        "types": [str(parquet[name].dtype) for name in parquet.columns],
        "rows": len(table),
        "score": None if "score" not in table else [None if math.isnan(x) else repr(x) for x in parquet["score"].tolist()],
        "ids": [list(table[name]) for name in table.columns if name.endswith("_id")],
    }
for path in sorted(folder.glob("*.npy")):
    array = numpy.load(path)
    seen[path.name] = {"dtype": array.dtype.str, "shape": list(array.shape), "sum": float(numpy.nansum(array[numpy.isfinite(array)]))}
    document = json.loads(path.with_suffix(".json").read_text())
    listed = numpy.array([math.nan if x is None else x for x in numpy.ravel(numpy.array(document["scores"], dtype=object))], dtype=array.dtype)
    finite = numpy.isfinite(array.ravel())
    assert (listed[finite] == array.ravel()[finite]).all() and numpy.isnan(listed[~finite]).all(), path
    assert numpy.array(document["scores"], dtype=object).shape == array.shape, path
(folder / "seen.json").write_text(json.dumps(seen, indent=1) + "\n")
