"""How the HTML page of a screening looks: on a wide and a narrow screen, in the dark, on paper."""

STYLE = """
:root { color-scheme: light dark; --alarm: #b3142a; --doubt: #8a5a00; --calm: #1f6682; }
@media (prefers-color-scheme: dark) {
  :root { --alarm: #ff7b86; --doubt: #f0b429; --calm: #6cc3e6; }
}
.alarm { --result: var(--alarm); }
.doubt { --result: var(--doubt); }
.calm { --result: var(--calm); }
body { font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; }
body { padding: 0 1rem; }
/* A name of many stacked accents stays inside its own line or cell. */
h1, p, dd, td div, figcaption div { overflow: clip; overflow-wrap: anywhere; }
h1 { border-left: .4rem solid var(--result); padding-left: .8rem; color: var(--result); }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .3rem 1.2rem; }
dt { font-weight: 600; grid-column: 1; }
dd { margin: 0; grid-column: 2; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
.class { min-width: 6rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem .8rem; }
figure { margin: 0; width: 10rem; }
img { width: 10rem; height: 10rem; object-fit: contain; image-rendering: pixelated; }
figcaption { font-size: .8rem; }
/* Shrunk by leaving pixels out, a picture could lose its trigger. */
.large figure { width: 16rem; }
.large img { width: 16rem; height: 16rem; image-rendering: auto; }
@media (max-width: 40rem) {
  dl { display: block; }
  dt { margin-top: .6rem; }
  th, td { padding-right: .7rem; }
}
@media print {
  :root { color-scheme: light; --alarm: #b3142a; --doubt: #8a5a00; --calm: #1f6682; }
  body { margin: 0; max-width: none; font-size: 13px; }
  .large figure, .large img { width: 10rem; }
  .large img { height: 10rem; }
  figure, tr, dd { break-inside: avoid; }
  h2, dt { break-after: avoid; }
}
"""
