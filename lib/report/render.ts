// A report as one self-contained HTML page, light and dark: its content policy forbids the network and every script but that of the
// browser over queries, which is there only where it is needed. Neighbouring plots stand side by side.
import { pathOf } from "../options";
import { writeBeside } from "../storage/files";
import { renderBarPlot } from "./bar-plot";
import { browserScript, browserScriptHash } from "./browser";
import { renderCards } from "./cards";
import { checkReport } from "./check";
import { renderHeatMap } from "./heat-map";
import { html, type Markup, trusted } from "./html";
import { renderLinePlot } from "./line-plot";
import { style } from "./style";
import { renderTable } from "./table";
import type { Report, ReportBlock, ReportSection } from "../../types/report";

/**
 * Writes the page of a report to a file, beside it first and then renamed.
 * @example await writeReport("report.html", { title, summary, facts, sections });
 */
export async function writeReport(file: string, report: Report): Promise<void> {
  const path = pathOf("file", "a file's path", file);
  await writeBeside(path, [Buffer.from(renderReport(report))]);
}

/**
 * The page of a report: HTML with inline style and drawings. The same report gives the same page. "invalid" for what is no report,
 * naming the part.
 * @example const page = renderReport({ title: "Claims", summary: "What was found.", facts: [], sections: [] });
 */
export function renderReport(report: Report): string {
  checkReport(report);
  const { title, summary, facts, sections } = report;
  const page = html`<html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta http-equiv="Content-Security-Policy" content="${policyOf(report)}" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <title>${title}</title>
      <style>
        ${style}
      </style>
    </head>
    <body>
      <main>
        <header>
          <h1>${title}</h1>
          <p class="lead">${summary}</p>
          <dl class="facts">
            ${facts.map(
              ({ name, value }) =>
                html`<div>
                  <dt>${name}</dt>
                  <dd>${value}</dd>
                </div>`,
            )}
          </dl>
          <nav aria-label="Sections">
            <ol>
              ${sections.map((section, index) => html`<li><a href="#section-${index + 1}">${section.title}</a></li>`)}
            </ol>
          </nav>
        </header>
        ${sections.map(renderSection)}
      </main>
      ${hasBrowser(report) ? browserScript : null}
    </body>
  </html> `;
  return `<!DOCTYPE html>\n${page.markup}`;
}

function hasBrowser({ sections }: Report): boolean {
  return sections.some(({ blocks }) => blocks.some((block) => block.kind === "instances" && block.browse === true));
}

function policyOf(report: Report): Markup {
  const scripts = hasBrowser(report) ? `; script-src ${browserScriptHash}` : "";
  return trusted(`default-src 'none'; style-src 'unsafe-inline'${scripts}`);
}

function renderSection({ title, explanation, blocks }: ReportSection, index: number): Markup {
  return html`<section id="section-${index + 1}">
    <h2>${title}</h2>
    <p class="explanation">${explanation}</p>
    ${runs(blocks).map((run) => (isPlot(run[0]) ? html`<div class="figures">${run.map(renderBlock)}</div>` : html`${run.map(renderBlock)}`))}
  </section> `;
}

/** Neighbouring plots together, everything else alone. */
function runs(blocks: readonly ReportBlock[]): ReportBlock[][] {
  const grouped: ReportBlock[][] = [];
  for (const block of blocks) {
    const last = grouped.at(-1);
    if (last !== undefined && isPlot(block) && isPlot(last[0])) last.push(block);
    else grouped.push([block]);
  }
  return grouped;
}

function isPlot(block: ReportBlock | undefined): boolean {
  return block?.kind === "lines" || block?.kind === "bars" || block?.kind === "heatMap";
}

function renderBlock(block: ReportBlock): Markup {
  switch (block.kind) {
    case "text":
      return html`<p>${block.text}</p>`;
    case "table":
      return renderTable(block);
    case "lines":
      return renderLinePlot(block);
    case "bars":
      return renderBarPlot(block);
    case "heatMap":
      return renderHeatMap(block);
    case "instances":
      return renderCards(block);
  }
}
