// A tied embedding may be stored under both of its names. Equal bytes are one weight; different ones contradict config.json
// (transformers 4 would drop one in silence, 5 would untie them), so they are refused.
import { AttributionError } from "../../errors";
import { withFile } from "../../storage/files";
import type { ListedTensor } from "../../storage/listing";

const pieceBytes = 4 << 20;

/** "mismatch" unless the two tensors of each pair hold the same bytes. */
export async function requireEqualTied(tied: readonly (readonly [ListedTensor, ListedTensor])[]): Promise<void> {
  for (const [first, second] of tied) {
    if (await areEqual(first, second)) continue;
    throw new AttributionError(
      "mismatch",
      `config.json ties the output to the embedding, but "${second.name}" differs from "${first.name}". Set "tie_word_embeddings": false or drop one`,
    );
  }
}

async function areEqual(first: ListedTensor, second: ListedTensor): Promise<boolean> {
  if (first.dtype !== second.dtype || first.bytes !== second.bytes) return false;
  if (first.file === second.file && first.offset === second.offset) return true;
  return withFile(first.file, (one) =>
    withFile(second.file, async (other) => {
      for (let done = 0; done < first.bytes; done += pieceBytes) {
        const length = Math.min(pieceBytes, first.bytes - done);
        const [left, right] = await Promise.all([
          one.read(first.offset + done, length),
          other.read(second.offset + done, length),
        ]);
        if (!left.equals(right)) return false;
      }
      return true;
    }),
  );
}
