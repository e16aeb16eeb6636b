// Results kept by content.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keeperIn, keyOf } from "../../lib/study/keeper";
import { rejects } from "../results/refuses";

const folder = mkdtempSync(join(tmpdir(), "keeper-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a key depends on every value and not on the order of names", () => {
  expect(keyOf("test", { a: 1, b: [2, { c: 3, d: undefined }] })).toBe(keyOf("test", { b: [2, { c: 3 }], a: 1 }));
  expect(keyOf("test", { a: 1 })).not.toBe(keyOf("test", { a: 2 }));
  expect(keyOf("test", [1, 2])).not.toBe(keyOf("test", [2, 1]));
  expect(keyOf("tune", {})).not.toBe(keyOf("test", {}));
});

test("a value comes back with its typed arrays and its NaN, and says what it is of", async () => {
  const keeper = keeperIn(folder);
  const value = { scores: Float32Array.of(1, NaN), rows: [-Infinity, null], nested: { list: ["a"] } };
  expect(await keeper.has("value-1")).toBe(false);
  await keeper.keep("value-1", "value", value, { title: "a value" });
  expect(await keeper.has("value-1")).toBe(true);
  const read = await keeper.read<typeof value>("value-1", "value", {});
  expect([Array.from(read.scores), read.rows, read.nested]).toEqual([[1, NaN], [-Infinity, null], { list: ["a"] }]);
  expect(JSON.parse(readFileSync(join(folder, "value-1", "about.json"), "utf8"))).toEqual({ title: "a value" });
});

test("two that keep the same at once leave one whole folder", async () => {
  const keeper = keeperIn(folder);
  await Promise.all(Array.from({ length: 8 }, () => keeper.keep("value-2", "value", { same: true }, {})));
  expect(await keeper.read("value-2", "value", {})).toEqual({ same: true });
  expect(readdirSync(folder).filter((name) => name.startsWith(".partial-"))).toEqual([]);
});

test("a damaged value is refused", async () => {
  const keeper = keeperIn(folder);
  await keeper.keep("value-3", "value", { a: 1 }, {});
  const file = join(folder, "value-3", "content");
  const bytes = readFileSync(file);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(file, bytes);
  await rejects("corrupt", () => keeper.read("value-3", "value", {}), /damaged/);
  expect(existsSync(file)).toBe(true);
});
