"""The style sheet of a tear sheet: one set of names for colours, with values for light, dark and paper."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--page:#f6f7f8;--card:#ffffff;--ink:#1a1f26;--soft:#5f6b78;--hair:#e4e7eb;--rule:#aab2bc;
--a:#2563c9;--b:#8793a1;--c:#b06a12;--gain:#2a8f62;--loss:#cc4455;--gain-rgb:42,143,98;--loss-rgb:204,68,85}
@media (prefers-color-scheme:dark){:root{--page:#12151a;--card:#1a1f26;--ink:#e5e9ee;--soft:#98a4b1;--hair:#2a313a;
--rule:#56616e;--a:#74a9ff;--b:#8b97a5;--c:#e0a458;--gain:#4fc08d;--loss:#f07a88;--gain-rgb:79,192,141;
--loss-rgb:240,122,136}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1120px;margin:0 auto;padding:32px 20px 48px}
header{margin:0 4px 22px}
h1{font-size:26px;line-height:1.2;font-weight:650;margin:0 0 4px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:14px;font-weight:620;margin:0 0 10px}
p{margin:0}
header p,.note{color:var(--soft)}
.note{font-size:12px;margin:-6px 0 8px}
section,.tile{background:var(--card);border:1px solid var(--hair);border-radius:10px}
section{padding:16px 18px;min-width:0;break-inside:avoid}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(116px,1fr));gap:12px;margin-bottom:12px}
.tile{padding:11px 13px;display:flex;flex-direction:column;justify-content:space-between}
.tile b{display:block;font-size:20px;line-height:1.25;font-weight:640;letter-spacing:-.01em;
font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:12.5px}
.cards{display:grid;grid-template-columns:repeat(12,minmax(0,1fr));gap:12px}
.full{grid-column:span 12}.half{grid-column:span 6}
.tables{display:flex;flex-wrap:wrap;gap:12px;margin-top:12px}
.narrow{flex:1 1 260px}.broad{flex:1 1 460px}.whole{flex:1 1 100%}
@media (max-width:860px){.half{grid-column:span 12}.broad{flex-basis:100%}}
.for-small{display:none}
@media (max-width:860px){.for-wide{display:none}.for-small{display:block}}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:500;color:var(--soft);font-size:12px;text-align:right;padding:4px 8px;
border-bottom:1px solid var(--hair)}
td{padding:5px 8px;text-align:right;border-bottom:1px solid var(--hair);white-space:nowrap}
tr:last-child td{border-bottom:0}
th:first-child,td:first-child{text-align:left;padding-left:0}
th:last-child,td:last-child{padding-right:0}
td.none{color:var(--soft);font-size:12px}
td.words{white-space:normal;overflow-wrap:anywhere}
.heat{border-collapse:separate;border-spacing:2px}
.heat th{border:0;text-align:center;padding:2px 4px}
.heat td{border:0;text-align:center;padding:6px 2px;border-radius:4px;font-size:12.5px;min-width:48px}
.heat th:first-child{text-align:left;width:46px}
.heat td.year{font-weight:640}
.heat .up{background:rgba(var(--gain-rgb),var(--s))}
.heat .down{background:rgba(var(--loss-rgb),var(--s))}
.heat i{font-style:normal}
@media (max-width:640px){main{padding:20px 12px 32px}section{padding:12px 12px}
th{padding:4px 3px;font-size:11px}td{padding:5px 3px;font-size:12px}
.heat{border-spacing:1px}.heat i{display:none}.heat th{padding:2px 0;font-size:10px}.heat th:first-child{width:28px}
.heat td{padding:5px 0;font-size:10px;min-width:0}}
svg{display:block;width:100%;height:auto;font-size:12px;font-variant-numeric:tabular-nums}
svg text{fill:var(--soft)}
svg .strong{fill:var(--ink);font-weight:600}
svg .small{font-size:11px}
.grid{stroke:var(--hair);stroke-width:1}
.rule{stroke:var(--rule);stroke-width:1}
.mark{stroke:var(--ink);stroke-width:1.25;stroke-dasharray:4 3}
.line{fill:none;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}
.shade{opacity:.13;stroke:none}
.line.a{stroke:var(--a)}.shade.a,.end.a,text.name.a{fill:var(--a)}
.line.b{stroke:var(--b)}.shade.b,.end.b,text.name.b{fill:var(--b)}
.line.c{stroke:var(--c)}.shade.c,.end.c,text.name.c{fill:var(--c)}
.line.d{stroke:var(--loss)}.shade.d,.end.d,text.name.d{fill:var(--loss)}
rect.gain{fill:var(--gain)}rect.loss{fill:var(--loss)}
footer{color:var(--soft);font-size:12px;margin:18px 4px 0}
footer dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:0}
footer dt{font-weight:600}footer dd{margin:0;overflow-wrap:anywhere}
@media print{:root{--page:#ffffff}main{max-width:none;padding:0}}
""".strip()
