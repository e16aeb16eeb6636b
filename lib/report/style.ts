// The style sheet of a report, inlined into the page. Series colours are Okabe and Ito's, safe for colour-blind readers, with
// lighter kin on dark ground; printing uses the light ones.
import { trusted } from "./html";

const light = `
  --ground: #ffffff; --panel: #f6f7f9; --text: #1b1f24; --muted: #59636e; --line: #d5dae0; --grid: #e8ebee; --accent: #0072b2;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #b5568f; --s4: #a87400; --s5: #3d8fc4; --control: #7a828c;
  --true: #00795a; --true-ground: #e3f4ee; --wrong: #b34700; --on-strong: #ffffff; --on-middle: #14171b;`;

const dark = `
  --ground: #14171b; --panel: #1c2026; --text: #e6e9ed; --muted: #9ba5b0; --line: #363d46; --grid: #272c33; --accent: #6bb8ea;
  --s0: #56b4e9; --s1: #ff9a52; --s2: #2ec49a; --s3: #e29cc8; --s4: #eebb45; --s5: #9fd3f2; --control: #98a1ac;
  --true: #4fd1a9; --true-ground: #15332a; --wrong: #ff9a52; --on-strong: #101316; --on-middle: #101316;`;

export const style = trusted(`
:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }
@media print { :root { ${light} } details, .controls { display: none } .card, figure { break-inside: avoid } }
* { box-sizing: border-box }
html { scroll-behavior: smooth }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 80px }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 12px; letter-spacing: -0.015em }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 6px; letter-spacing: -0.01em }
h3, h4 { font-size: 0.95rem; margin: 0 0 6px }
p { margin: 0 0 12px; max-width: 76ch }
.lead { font-size: 1.1rem }
.explanation, .note, figcaption span, .unit, .interval, .muted { color: var(--muted) }
.note, .interval, .unit { font-size: 0.85em; font-weight: 400 }
.interval { white-space: nowrap }
nav ol { display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; padding: 12px 0; margin: 20px 0 0; border-block: 1px solid var(--line) }
a { color: var(--accent); text-decoration: none } a:hover { text-decoration: underline }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(235px, 1fr)); gap: 10px 24px; margin: 20px 0 0 }
.facts dt { color: var(--muted); font-size: 0.8rem } .facts dd { margin: 0; overflow-wrap: anywhere }
section { padding-top: 40px }
.table { overflow-x: auto; margin: 16px 0 24px }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem }
caption { text-align: left; font-weight: 600; padding-bottom: 6px; max-width: calc(100vw - 48px) }
th, td { padding: 5px 14px; border-bottom: 1px solid var(--grid); vertical-align: baseline }
th:first-child, td:first-child { padding-left: 0 } thead th { border-bottom: 1.5px solid var(--line); vertical-align: bottom }
tbody th { font-weight: 500; min-width: 8rem } @media (min-width: 800px) { td.number { white-space: nowrap } }
@media (max-width: 799px) { td.text:last-child { min-width: 14rem } }
.text { text-align: left } .number { text-align: right }
.note { margin: 6px 0 0 }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 20px; margin: 16px 0 }
figure { margin: 0; padding: 16px 18px 12px; background: var(--panel); border-radius: 10px; max-width: 720px; min-width: 0 }
figcaption strong, figcaption span { display: block } figcaption span { font-size: 0.88rem }
.plot { overflow-x: auto; margin-top: 8px } .plot svg { display: block; width: 100%; min-width: 490px; height: auto }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; list-style: none; padding: 0; margin: 8px 0 0; font-size: 0.88rem }
.legend li { display: flex; align-items: center; gap: 7px }
svg text { font-size: 13px; fill: var(--muted); font-variant-numeric: tabular-nums } svg .label { fill: var(--text) }
.grid { stroke: var(--grid) } .zero, .edge { stroke: var(--muted) } .zero { stroke-opacity: 0.6 }
${[0, 1, 2, 3, 4, 5].map((index) => `.s${index} { --color: var(--s${index}) }`).join(" ")} .control { --color: var(--control) }
.series .line { fill: none; stroke: var(--color); stroke-width: 2; stroke-linejoin: round }
.s1 .line { stroke-dasharray: 9 3 } .s2 .line { stroke-dasharray: 6 2 2 2 } .s3 .line { stroke-dasharray: 12 3 2 3 } .control .line { stroke-dasharray: 4 4 }
.again .line { stroke-opacity: 0.7 } .again .bar, .again.bar { fill-opacity: 0.6 }
.series .mark { fill: var(--color); stroke: var(--panel); stroke-width: 1 } .band { fill: var(--color); fill-opacity: 0.15 }
.bar { fill: var(--color) } .control .bar, .control.bar { fill-opacity: 0.75 } .whisker { stroke: var(--text); fill: none; stroke-width: 1.3 }
.heat .positive { fill: var(--s0) } .heat .negative { fill: var(--s1) } .heat .strong { fill: var(--on-strong) } .heat .middle { fill: var(--on-middle) } .heat .weak { fill: var(--text) }
details { margin-top: 6px; font-size: 0.88rem } summary { cursor: pointer; color: var(--muted); width: fit-content }
.card { border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px 14px; margin: 18px 0 }
.card h3 { font-size: 1.08rem; font-weight: 600; white-space: pre-wrap; overflow-wrap: anywhere; margin-bottom: 4px }
.verdict { margin-bottom: 14px } .verdict b { font-weight: 600 } .right { color: var(--true) } .wrong { color: var(--wrong) }
.controls { display: flex; flex-wrap: wrap; gap: 10px 18px; align-items: end; margin: 16px 0; font-size: 0.9rem } .controls[hidden] { display: none }
.controls label { display: grid; gap: 3px; color: var(--muted) } .controls input, .controls select, .controls button { font: inherit; color: var(--text); background: var(--ground); border: 1px solid var(--muted); border-radius: 6px; padding: 6px 10px; max-width: 100% }
.controls button { cursor: pointer } .controls button:disabled { color: var(--muted); cursor: default }
.pager { display: flex; gap: 10px; align-items: center } .pager output { min-width: 9em; text-align: center }
.words u { text-decoration-color: var(--accent); text-decoration-thickness: 2px; text-underline-offset: 3px } .score small { color: var(--muted) }
.columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 16px 26px; margin-bottom: 14px }
.columns ol { list-style: none; margin: 0; padding: 0 }
.entry { display: grid; grid-template-columns: 1fr auto; gap: 0 12px; padding: 5px 8px; border-left: 3px solid transparent; border-bottom: 1px solid var(--grid); font-size: 0.9rem; line-height: 1.4 }
.entry .words { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 0 } .entry .score { font-variant-numeric: tabular-nums; white-space: nowrap; text-align: right }
.entry.true { border-left-color: var(--true); background: var(--true-ground) }
.badge, .entry small { grid-column: 1 / -1; font-size: 0.8rem } .badge { color: var(--true); font-weight: 600 } .entry small { color: var(--muted) }
.meter { height: 4px; border-radius: 2px; background: var(--s0); grid-column: 1 / -1; margin-top: 3px } .meter.negative { background: var(--s1) }
`);
