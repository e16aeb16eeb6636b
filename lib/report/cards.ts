// Queries in full text beside what each method attributes them to: training instances, those known to be true marked in words and
// colour, and units with their scores. Many of them become a browser: one at a time, with search, sort and filters.
import { browserControls } from "./browser";
import { formatNumber, formatValue } from "./format";
import { html, type Markup } from "./html";
import type { InstanceCard, InstanceCards, InstanceEntry, UnitEntry } from "../../types/report";

export function renderCards({
  cards,
  truthLabel = "states the fact asked for",
  browse = false,
}: InstanceCards): Markup {
  const rendered = cards.map((card, index) => renderCard(card, truthLabel, index));
  if (!browse) return html`${rendered}`;
  return html`<div class="browser">
    ${browserControls(cards)}
    <div class="cards">${rendered}</div>
  </div>`;
}

function renderCard(card: InstanceCard, truthLabel: string, index: number): Markup {
  const { prediction, label, group = "", isConflict = false } = card;
  const isWrong = label !== undefined && label !== prediction.label;
  return html`<article
    class="card"
    data-index="${index}"
    data-probability="${prediction.probability ?? 0}"
    data-right="${label === undefined ? "" : isWrong ? "no" : "yes"}"
    data-conflict="${isConflict ? "yes" : "no"}"
    data-group="${group}"
  >
    <h3 dir="auto">${card.text}</h3>
    <p class="verdict">
      ${verdict(card)}${isConflict ? html` · <b>the two views disagree</b>` : null}
      <span class="muted">· ${card.id}</span>
    </p>
    ${card.instances.length === 0 ? null : html`<div class="columns">${card.instances.map((ranking) => instanceList(ranking, truthLabel, card.text))}</div>`}
    ${card.neurons.length === 0 ? null : html`<div class="columns">${card.neurons.map(neuronList)}</div>`}
  </article> `;
}

function verdict({ prediction, label }: InstanceCard): Markup {
  const chance =
    prediction.probability === undefined ? null : html` (${formatValue(prediction.probability, "percent")})`;
  const judged =
    label === undefined
      ? null
      : html` · Label:
          <b>${label}</b>
          ${label === prediction.label ? html`<span class="right">✓ right</span>` : html`<span class="wrong">✗ wrong</span>`}`;
  return html`Prediction: <b>${prediction.label}</b>${chance}${judged}`;
}

function instanceList(
  { method, unit, entries, bottom = [] }: InstanceCard["instances"][number],
  truthLabel: string,
  asked: string,
): Markup {
  const words = wordsOf(asked);
  return html`<div>
    <h4>${method}${unitOf(unit)}</h4>
    <ol>
      ${entries.map((entry) => instanceEntry(entry, truthLabel, words))}
    </ol>
    ${entries.length === 0 ? html`<p class="note">None.</p>` : null}
    ${
      bottom.length === 0
        ? null
        : html`<details>
            <summary>Lowest</summary>
            <ol>
              ${bottom.map((entry) => instanceEntry(entry, truthLabel, words))}
            </ol>
          </details>`
    }
  </div>`;
}

function instanceEntry(entry: InstanceEntry, truthLabel: string, asked: ReadonlySet<string>): Markup {
  const { text, words, score, share, label, isTrue } = entry;
  return html`<li class="entry${isTrue === true ? " true" : ""}">
    <span class="words" dir="auto">${words === undefined ? sharedWords(text, asked) : shadedWords(words)}</span
    ><span class="score"
      >${formatNumber(score)}${share === undefined ? null : html` <small>${formatValue(share, "percent")}</small>`}</span
    >${label === undefined ? null : html`<small>${label}</small>`}${
      isTrue === true ? html`<span class="badge">✓ ${truthLabel}</span>` : null
    }
  </li> `;
}

function wordsOf(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);
}

/** A text with the words that the query has, too, underlined. */
function sharedWords(text: string, asked: ReadonlySet<string>): Markup {
  const parts = text.split(/([\p{L}\p{N}]+)/u);
  return html`${parts.map((part) => (asked.has(part.toLowerCase()) ? html`<u>${part}</u>` : part))}`;
}

/** Tokens over a ground as strong as their share of the largest part, in the colours of signs; the part itself is the tooltip. */
function shadedWords(words: NonNullable<InstanceEntry["words"]>): Markup {
  const strongest = Math.max(0, ...words.map(({ score }) => Math.abs(score)));
  const percent = (score: number) => (strongest > 0 ? Math.round((60 * Math.abs(score)) / strongest) : 0);
  return html`${words.map(({ text, score }) => html`<span title="${formatNumber(score)}" style="background:color-mix(in srgb, var(--s${score < 0 ? 1 : 0}) ${percent(score)}%, transparent)">${text}</span>`)}`;
}

function neuronList({ method, unit, entries }: InstanceCard["neurons"][number]): Markup {
  const strongest = Math.max(0, ...entries.map(({ score }) => Math.abs(score)));
  const share = (score: number) => (strongest > 0 ? Math.round((1000 * Math.abs(score)) / strongest) / 10 : 0);
  return html`<div>
    <h4>${method}${unitOf(unit)}</h4>
    <ol>
      ${entries.map(
        (entry) =>
          html`<li class="entry">
            <span class="words">${unitName(entry)}${written(entry)}</span
            ><span class="score">${formatNumber(entry.score)}</span
            ><span class="meter${entry.score < 0 ? " negative" : ""}" style="width:${share(entry.score)}%"></span>
          </li> `,
      )}
    </ol>
    ${entries.length === 0 ? html`<p class="note">None.</p>` : null}
  </div>`;
}

function unitName({ layer, unit, isHead = false }: UnitEntry): string {
  return `layer ${layer}, ${isHead ? "head" : "neuron"} ${unit}`;
}

function written({ tokens = [] }: UnitEntry): Markup | null {
  return tokens.length === 0 ? null : html` <small>writes ${tokens.map((token) => token.trim()).join(" · ")}</small>`;
}

function unitOf(unit: string | undefined): Markup | null {
  return unit === undefined ? null : html` <span class="unit">${unit}</span>`;
}
