/* global document, getComputedStyle -- in functions that run in the page */
// `npm run check:report [-- FILE...]`: reports in a real browser (Debian's chromium; CHROMIUM names another) at 390 and 1280 px, light
// and dark: axe finds no violation, the console no error, nothing is fetched, no page scrolls sideways, and the browser over queries
// searches, filters and turns pages. Without a file it checks the report of the study small/claims-short, which it runs.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env["SCREENSHOTS"];
const given = process.argv.slice(2);
const files = given.length > 0 ? given : [studied()];

function studied() {
  const out = mkdtempSync(join(tmpdir(), "check-report-"));
  execFileSync(process.execPath, [join(root, "dist/lib/cli/main.js"), "run", "small/claims-short", "--out", out], {
    stdio: "ignore",
  });
  return join(out, "index.html");
}

const browser = await chromium.launch({
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const faults = [];
try {
  for (const file of files)
    for (const width of [390, 1280])
      for (const colorScheme of ["light", "dark"]) faults.push(...(await checked(file, width, colorScheme)));
} finally {
  await browser.close();
}
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? `${files.length} report(s): no violation` : `${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;

async function checked(file, width, colorScheme) {
  const found = [];
  const fault = (what) => found.push(`${file} at ${width} px, ${colorScheme}: ${what}`);
  // axe runs in a page of its own policy, so the page's is set aside for it; the page itself is opened with its policy first.
  const strict = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await strict.newPage();
  const url = pathToFileURL(resolve(file)).href;
  page.on("console", (message) => message.type() === "error" && fault(`console: ${message.text()}`));
  page.on("pageerror", (error) => fault(`error: ${error.message}`));
  page.on("request", (request) => request.url() !== url && fault(`fetches ${request.url()}`));
  await page.goto(url);
  if (await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth + 1))
    fault("scrolls sideways");
  const small = await page.evaluate(() => {
    const texts = [...document.querySelectorAll("body *")].filter(
      (element) =>
        [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== "") &&
        element.getClientRects().length > 0,
    );
    const scale = (element) => {
      const svg = element.closest("svg[viewBox]");
      return svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    };
    return texts
      .filter((element) => parseFloat(getComputedStyle(element).fontSize) * scale(element) < 11.9)
      .map((element) => element.textContent.trim().slice(0, 40));
  });
  if (small.length > 0) fault(`${small.length} texts below 12 px, e.g. "${small[0]}"`);
  await browse(page, fault);
  if (shots) await page.screenshot({ path: join(shots, `report-${width}-${colorScheme}.png`), fullPage: true });
  await strict.close();
  const open = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
  const tested = await open.newPage();
  await tested.goto(url);
  await tested.evaluate(axe);
  const { violations } = await tested.evaluate(() => globalThis.axe.run());
  for (const { id, help, nodes } of violations)
    fault(`${id}: ${help} (${nodes.length}, e.g. ${nodes[0].html.slice(0, 160)})`);
  await open.close();
  return found;
}

/** Every card is reachable, a search that fits nothing says so, and a filter shows only what fits. */
async function browse(page, fault) {
  if ((await page.locator(".browser").count()) === 0) return;
  const said = page.locator(".browser output");
  const total = Number(/of (\d+)/.exec(await said.textContent())?.[1]);
  if (!(total > 0)) fault(`the browser says "${await said.textContent()}"`);
  for (let turned = 1; turned < total; turned++) await page.locator(".browser button[name=next]").click();
  if ((await said.textContent()) !== `Query ${total} of ${total}`) fault("the last query cannot be reached");
  await page.locator(".browser input").fill("no query has these words");
  if ((await said.textContent()) !== "No query fits") fault("a search that fits nothing shows something");
  await page.locator(".browser input").fill("");
  await page.locator(".browser select[name=show]").selectOption("conflict");
  const conflicts = Number(/of (\d+)/.exec(await said.textContent())?.[1] ?? 0);
  if (conflicts >= total) fault("the filter keeps what does not fit");
  if (conflicts > 0 && (await page.locator(".card").getAttribute("data-conflict")) !== "yes")
    fault("the filter shows what does not fit");
}
