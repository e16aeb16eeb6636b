// The controls of a browser over many cards, and the one script of a report. Without scripts all cards stand one below the other.
import { createHash } from "node:crypto";
import { html, type Markup, trusted } from "./html";
import type { InstanceCard } from "../../types/report";

export function browserControls(cards: readonly InstanceCard[]): Markup {
  const groups = [...new Set(cards.flatMap(({ group }) => (group === undefined ? [] : [group])))];
  const option = (value: string, label: string): Markup => html`<option value="${value}">${label}</option>`;
  return html`<form class="controls" hidden>
    <label>Search <input type="search" name="search" placeholder="words of a query" /></label>
    <label
      >Sort
      <select name="sort">
        ${option("index", "as asked")}${option("low", "least certain first")}${option("high", "most certain first")}
      </select></label
    >
    <label
      >Show
      <select name="show">
        ${option("", "all")}${option("wrong", "wrong answers")}${option("right", "right answers")}${option("conflict", "where the two views disagree")}
      </select></label
    >
    ${
      groups.length < 2
        ? null
        : html`<label
            >Of
            <select name="group">
              ${option("", "all")}${groups.map((group) => option(group, group))}
            </select></label
          >`
    }
    <div class="pager">
      <button type="button" name="before">Before</button>
      <output aria-live="polite"></output>
      <button type="button" name="next">Next</button>
    </div>
  </form>`;
}

/** Shows the cards that fit the controls, one at a time; hidden ones take part in neither layout nor reading. */
const source = `
for (const browser of document.querySelectorAll(".browser")) {
  const form = browser.querySelector("form"), holder = browser.querySelector(".cards"), said = form.querySelector("output");
  const cards = [...holder.children].map((card) => ({ card, data: card.dataset, text: card.textContent.toLowerCase() }));
  let found = [], at = 0;
  const value = (name) => form.elements[name] ? form.elements[name].value : "";
  const fits = ({ data, text }) => {
    const show = value("show"), words = value("search").toLowerCase().split(/\\s+/);
    return words.every((word) => text.includes(word)) && (value("group") === "" || data.group === value("group"))
      && (show === "" || (show === "conflict" ? data.conflict === "yes" : data.right === (show === "right" ? "yes" : "no")));
  };
  const order = { index: (a, b) => a.data.index - b.data.index, low: (a, b) => a.data.probability - b.data.probability, high: (a, b) => b.data.probability - a.data.probability };
  const draw = () => {
    holder.replaceChildren(...found.slice(at, at + 1).map(({ card }) => card));
    said.textContent = found.length === 0 ? "No query fits" : "Query " + (at + 1) + " of " + found.length;
    form.elements.before.disabled = at === 0;
    form.elements.next.disabled = at + 1 >= found.length;
  };
  const search = () => { found = cards.filter(fits).sort(order[value("sort")]); at = 0; draw(); };
  form.addEventListener("input", search);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.elements.before.addEventListener("click", () => { at -= 1; draw(); });
  form.elements.next.addEventListener("click", () => { at += 1; draw(); });
  addEventListener("beforeprint", () => holder.replaceChildren(...found.map(({ card }) => card)));
  addEventListener("afterprint", draw);
  form.hidden = false;
  search();
}`;

export const browserScript = trusted(`<script>${source}</script>`);

/** What the content policy must name, so that this script runs and no other. */
export const browserScriptHash = `'sha256-${createHash("sha256").update(source).digest("base64")}'`;
