"""How a report looks: one style sheet, light and dark, for a telephone, a desk and paper. Colours are Okabe-Ito's."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --ink: #1d1f23; --soft: #5c616b; --line: #dedbd4; --tint: #f3f0ea; --win: #0b6e4f;
  --loss: #b3261e;
  --compiled: #0072b2; --edm: #c65300; --edm-free: #a87400; --logsnr: #00805c; --uniform: #767676; --shifted: #2b86b8;
  --more-0: #ad4f85; --more-1: #4a4a4a; --more-2: #857900;
  --serif: Charter, "Bitstream Charter", "Iowan Old Style", "Source Serif 4", Georgia, "Liberation Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", Menlo, monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e6e3dd; --soft: #a09d97; --line: #34373c; --tint: #1e2125; --win: #6fd0a6;
    --loss: #ff9a8d;
    --compiled: #4fb0f0; --edm: #f08a4b; --edm-free: #e6b04a; --logsnr: #35c796; --uniform: #a3a3a3;
    --shifted: #9ad4f5;
    --more-0: #e09cc5; --more-1: #d5d5d5; --more-2: #f0e442;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 3.5rem 1.25rem 4rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 var(--serif); overflow-wrap: anywhere;
}
header { border-bottom: 1px solid var(--line); padding-bottom: 2rem; }
.kind { margin: 0; font: 600 .8rem/1.4 var(--sans); letter-spacing: .09em; text-transform: uppercase;
  color: var(--soft); }
h1 { margin: .3rem 0 .6rem; font-size: clamp(2rem, 6vw, 3rem); line-height: 1.1; font-weight: 600; }
h2 { margin: 3.2rem 0 .5rem; font-size: 1.5rem; line-height: 1.25; font-weight: 600; }
h3 { margin: 1.8rem 0 .6rem; font: 600 .95rem/1.4 var(--sans); }
p { margin: .5rem 0 1rem; max-width: 42rem; }
.verdict { font-size: 1.3rem; line-height: 1.45; max-width: 46rem; }
.won strong, .win { color: var(--win); }
.lost strong, .loss { color: var(--loss); }
.soft { color: var(--soft); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1.2rem;
  margin: 2rem 0 0; }
.figures div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.figures dd { margin: 0; font-size: 2rem; line-height: 1.15; font-variant-numeric: lining-nums tabular-nums; }
.figures dt { font: .85rem/1.4 var(--sans); color: var(--soft); }
.scroll { overflow-x: auto; margin: 1rem 0 .5rem; }
.scroll:focus-visible { outline: 2px solid var(--compiled); outline-offset: 3px; }
table { border-collapse: collapse; font: .9rem/1.35 var(--sans); font-variant-numeric: lining-nums tabular-nums; }
.scroll table { min-width: 100%; }
.told { font: .92rem/1.5 var(--sans); color: var(--soft); }
th, td { overflow-wrap: normal; padding: .38rem .6rem; text-align: right; white-space: nowrap; unicode-bidi: isolate; }
th:first-child, td:first-child { padding-left: 0; }
th { font-weight: 600; }
th.word, td.word { text-align: left; }
thead th { white-space: normal; min-width: 3.2rem; border-bottom: 2px solid var(--ink); vertical-align: bottom; }
tbody { border-bottom: 1px solid var(--line); }
tbody th { vertical-align: top; }
tbody tr + tr td, tbody tr + tr th:not([rowspan]) { border-top: 1px solid var(--line); }
td small { color: var(--soft); font-size: .82em; font-weight: 400; }
td strong { font-weight: 700; color: var(--compiled); }
td.theirs strong { color: var(--loss); }
.legend { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; margin: 1rem 0 0; padding: 0; list-style: none;
  font: .9rem var(--sans); }
.legend li { display: flex; align-items: center; gap: .45rem; }
.legend svg { width: 2rem; height: 1rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.4rem 2rem;
  margin: 1rem 0; }
figure { margin: 0; }
figcaption { font: .85rem/1.4 var(--sans); color: var(--soft); unicode-bidi: isolate; }
figcaption b { color: var(--ink); font-weight: 600; }
.charts figcaption { font-size: .95rem; }
.charts svg { display: block; width: 100%; max-width: 27rem; height: auto; }
svg text { font: 11px var(--sans); fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .name { fill: var(--ink); }
svg .rule { stroke: var(--line); stroke-width: 1; fill: none; }
svg .curve { fill: none; stroke: currentColor; stroke-width: 1.4; stroke-linejoin: round; }
svg .bar { stroke: currentColor; stroke-width: 1; }
svg .mark { fill: currentColor; stroke: var(--paper); stroke-width: .7; }
svg .g-compiled .curve { stroke-width: 2.6; }
.g-compiled { color: var(--compiled); } .g-edm { color: var(--edm); } .g-edm-free { color: var(--edm-free); }
.g-logsnr { color: var(--logsnr); } .g-uniform { color: var(--uniform); } .g-shifted { color: var(--shifted); }
.g-more-0 { color: var(--more-0); } .g-more-1 { color: var(--more-1); } .g-more-2 { color: var(--more-2); }
.samples { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1rem; }
.samples img { display: block; width: 100%; height: auto; image-rendering: pixelated;
  border: 1px solid var(--line); border-radius: 3px; margin-bottom: .35rem; }
.samples .ours img { border-color: var(--compiled); box-shadow: 0 0 0 1px var(--compiled); }
.samples .ours b { color: var(--compiled); }
.facts { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; margin: 1rem 0;
  font: .92rem/1.5 var(--sans); }
.facts dt, .facts dd { margin: 0; padding: .4rem 0; border-top: 1px solid var(--line); }
.facts dt { color: var(--soft); padding-right: 1.5rem; }
.facts dd { unicode-bidi: isolate; font-variant-numeric: tabular-nums; }
.note { border-left: 3px solid var(--line); padding: .2rem 0 .2rem 1rem; max-width: 42rem; }
ul.losses { padding-left: 1.2rem; }
code { font: .86em/1.5 var(--mono); background: var(--tint); border-radius: 3px; padding: .1em .3em; }
details { margin: 1rem 0; }
summary { cursor: pointer; font: 600 .95rem var(--sans); }
.sigmas td { overflow-wrap: anywhere; text-align: left; white-space: normal; font: .82rem/1.6 var(--mono); }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--line); font: .85rem/1.5 var(--sans);
  color: var(--soft); }
@media (max-width: 34rem) {
  body { padding-top: 2rem; }
  .facts { grid-template-columns: 1fr; }
  .facts dd { border: 0; padding-top: 0; }
  .facts dt { padding-bottom: 0; }
}
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: .2rem .35rem; }
  figure, tr, h2, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""
