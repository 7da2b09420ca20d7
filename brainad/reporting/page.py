"""Style and script of the HTML page; both are embedded, nothing is loaded from elsewhere."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1b1c22; --paper: #fff; --soft: #f1f2f5;
  --line: #d4d6dd; --accent: #a33b00; --quiet: #5d616e; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf1; --paper: #15161b;
  --soft: #20222a; --line: #3a3d48; --accent: #ff9d5c; --quiet: #a3a7b5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.15rem; }
a { color: inherit; }
.notice { border-left: 4px solid var(--accent); background: var(--soft); padding: .5rem .8rem; }
dl { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 0; }
dt { color: var(--quiet); font-size: .8rem; }
dd { margin: 0; }
.wide { overflow-x: auto; }
.columns { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
table { border-collapse: collapse; font-size: .88rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
caption::first-letter { text-transform: uppercase; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { font-weight: 500; }
thead th { background: var(--soft); white-space: nowrap; }
thead button { all: unset; cursor: pointer; font-weight: 600; }
thead button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.anomalous td:first-child { font-weight: 700; border-left: 4px solid var(--accent); }
tr.failed td { color: var(--quiet); font-style: italic; }
small { color: var(--quiet); }
figure { margin: 0 0 1.5rem; }
figure img { display: block; max-width: 100%; border-radius: 4px; }
figcaption { color: var(--quiet); font-size: .85rem; }
@media print { .wide { overflow: visible; } figure, tr { break-inside: avoid; } }
"""

# Numbers sort as numbers, empty cells always last, everything else as text.
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const descending = head.getAttribute("aria-sort") !== "descending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const text = row => row.cells[column].textContent;
    const compare = (a, b) => {
      if ((text(a) === "\\u2013") !== (text(b) === "\\u2013")) {
        return text(a) === "\\u2013" ? 1 : -1;
      }
      const numeric = text(a).trim() !== "" && !isNaN(text(a)) && !isNaN(text(b));
      const order = numeric ? text(a) - text(b) : text(a).localeCompare(text(b));
      return descending ? -order : order;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }));
}
"""
