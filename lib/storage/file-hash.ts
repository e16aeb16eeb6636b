import { createHash } from "node:crypto";
import { stopIfAborted } from "../pacing";
import { withFile } from "./files";

const pieceBytes = 1 << 20;

/** SHA-256 of a file, hexadecimal. */
export async function hashOfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  await withFile(path, async ({ size, readInto }) => {
    const piece = new Uint8Array(pieceBytes);
    for (let done = 0; done < size; done += pieceBytes) {
      stopIfAborted(signal);
      const read = piece.subarray(0, Math.min(pieceBytes, size - done));
      await readInto(read, done);
      hash.update(read);
    }
  });
  return hash.digest("hex");
}
