# SPDX-License-Identifier: Apache-2.0
"""How the report looks. Charts name the same colours, and have their own for where they stand
alone."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1f2937; --soft: #6b7280;
  --line: #e5e7eb; --panel: #f8fafc; --good: #047857; --bad: #b91c1c;
  --c1: #2563eb; --c2: #d97706; --c3: #059669; --c4: #9333ea }
@media (prefers-color-scheme: dark) { :root { --paper: #111827; --ink: #e5e7eb; --soft: #9ca3af;
  --line: #374151; --panel: #1f2937; --good: #34d399; --bad: #f87171;
  --c1: #60a5fa; --c2: #fbbf24; --c3: #34d399; --c4: #c084fc } }
* { box-sizing: border-box }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem;
  padding-bottom: .3rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem }
p { margin: .4rem 0 } .soft { color: var(--soft) } .good { color: var(--good) }
.bad { color: var(--bad) } code { font-family: ui-monospace, monospace; font-size: .92em }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1.4rem 0 0; padding: 0 } .tiles div { background: var(--panel);
  border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem }
.tiles dt { color: var(--soft); font-size: .82rem } .tiles dd { margin: 0; font-size: 1.3rem;
  font-weight: 600; font-variant-numeric: tabular-nums } .tiles small { display: block;
  font-size: .78rem; font-weight: 400; color: var(--soft) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem }
figure { margin: 0 0 1rem } figcaption { font-weight: 600; margin-bottom: .2rem }
svg { width: 100%; height: auto; display: block }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem .4rem 0;
  border-bottom: 1px solid var(--line) } th { font-weight: 600 }
tbody th { font-weight: 400; color: var(--soft); white-space: nowrap; width: 14rem }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
td.text { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 9rem }
td.digest { font: .8rem ui-monospace, monospace; overflow-wrap: anywhere }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem;
  padding: 1rem; overflow-x: auto; font-size: .85rem } details { margin: .6rem 0 }
summary { cursor: pointer; font-weight: 600 } ul { padding-left: 1.2rem }
@media print { details > *:not(summary) { display: block } }
"""
