// Markup from templates that escape everything put into them, except markup itself. The only way text reaches a report.

/** A piece of HTML or SVG that is safe to insert. */
export interface Markup {
  readonly markup: string;
}

type Insertable = Markup | string | number | null | undefined | readonly Insertable[];

/** html`<p>${text}</p>`: values are escaped, markup and lists of it inserted, null and undefined left out. */
export function html(parts: TemplateStringsArray, ...values: readonly Insertable[]): Markup {
  return { markup: parts.reduce((page, part, at) => page + inserted(values[at - 1]) + part) };
}

function inserted(value: Insertable): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string" || typeof value === "number") return escaped(String(value));
  return Array.isArray(value) ? value.map(inserted).join("") : (value as Markup).markup;
}

/** Constant markup of our own (the style sheet); never for data. */
export function trusted(markup: string): Markup {
  return { markup };
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for element content and quoted attributes. Characters that HTML cannot hold become the replacement character. */
export function escaped(text: string): string {
  return text
    .replace(/\p{Surrogate}/gu, "\ufffd")
    .replace(/(?![\t\n\r])\p{Control}|[\ufffe\uffff]/gu, "\ufffd")
    .replace(/[&<>"']/g, (character) => entities[character]);
}
