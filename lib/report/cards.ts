// Queries in full text beside what each method attributes them to: training instances, those known to be true marked in
// words and colour, and units with their scores.
import { formatNumber, formatValue } from "./format";
import { html, type Markup } from "./html";
import type { InstanceCard, InstanceCards, InstanceEntry } from "../../types/report";

export function renderCards({ cards, truthLabel = "states the fact asked for" }: InstanceCards): Markup {
  return html`${cards.map((card) => renderCard(card, truthLabel))}`;
}

function renderCard(card: InstanceCard, truthLabel: string): Markup {
  return html`<article class="card">
    <h3 dir="auto">${card.text}</h3>
    <p class="verdict">${verdict(card)} <span class="muted">· ${card.id}</span></p>
    ${card.instances.length === 0 ? null : html`<div class="columns">${card.instances.map((ranking) => instanceList(ranking, truthLabel))}</div>`}
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

function instanceList({ method, unit, entries }: InstanceCard["instances"][number], truthLabel: string): Markup {
  return html`<div>
    <h4>${method}${unitOf(unit)}</h4>
    <ol>
      ${entries.map(
        (entry) =>
          html`<li class="entry${entry.isTrue === true ? " true" : ""}">
            <span class="words" dir="auto">${entry.words === undefined ? entry.text : shadedWords(entry.words)}</span
            ><span class="score">${formatNumber(entry.score)}</span>${
              entry.label === undefined ? null : html`<small>${entry.label}</small>`
            }${entry.isTrue === true ? html`<span class="badge">✓ ${truthLabel}</span>` : null}
          </li> `,
      )}
    </ol>
    ${entries.length === 0 ? html`<p class="note">None.</p>` : null}
  </div>`;
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
            <span class="words">layer ${entry.layer}, unit ${entry.unit}</span
            ><span class="score">${formatNumber(entry.score)}</span
            ><span class="meter${entry.score < 0 ? " negative" : ""}" style="width:${share(entry.score)}%"></span>
          </li> `,
      )}
    </ol>
    ${entries.length === 0 ? html`<p class="note">None.</p>` : null}
  </div>`;
}

function unitOf(unit: string | undefined): Markup | null {
  return unit === undefined ? null : html` <span class="unit">${unit}</span>`;
}
