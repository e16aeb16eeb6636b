// GPT-2's symbols: each byte of a text written as one visible character.

const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
/** The symbol of each byte: itself where it is printable, else the next free character from U+0100 on. */
const symbols: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();
const bytes: ReadonlyMap<string, number> = new Map(symbols.map((symbol, byte) => [symbol, byte]));
const encoder = new TextEncoder();

/** The text's bytes in UTF-8, as symbols. */
export function utf8Symbols(text: string): string {
  if (/^ ?[!-~]*$/.test(text)) return text.startsWith(" ") ? symbols[32] + text.slice(1) : text;
  let out = "";
  for (const byte of encoder.encode(text)) out += symbols[byte];
  return out;
}

/** The bytes that symbols stand for; undefined where a character is no symbol. */
export function symbolBytes(text: string): number[] | undefined {
  const out: number[] = [];
  for (const character of text) {
    const byte = bytes.get(character);
    if (byte === undefined) return undefined;
    out.push(byte);
  }
  return out;
}
