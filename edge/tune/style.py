"""How the report looks: light or dark as the reader's machine is."""

STYLE = """
:root{--ink:#1d2530;--soft:#5d6b7c;--line:#e3e8ee;--ground:#f6f8fa;--paper:#fff;--recall:#1769aa;--precision:#8a4fbe;
--false:#c2410c;--current:#7a8796;--suggested:#0f8a5f;--span:#bfe3cf;--score:#9db8d4}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ef;--soft:#98a5b3;--line:#2c343e;--ground:#12161b;--paper:#1a2027;
--recall:#63b3f0;--precision:#c39bf0;--false:#f48a5a;--current:#8f9cab;--suggested:#3fce98;--span:#1f5a41;--score:#47617c}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:28px;margin:0 0 4px;letter-spacing:-.01em}h2{font-size:19px;margin:0 0 8px}
h3{font-size:15px;margin:18px 0 2px}h3 small{color:var(--soft);font-weight:400;margin-left:6px}
h4{font-size:12px;margin:8px 0 0;color:var(--soft);font-weight:600}
p{margin:4px 0}.lead{font-size:17px}.note,.remark,.key{color:var(--soft);font-size:13px}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:16px 0;
overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-size:12px;color:var(--soft);font-weight:600;text-align:left;padding:4px 14px 6px 0;white-space:nowrap}
td{padding:6px 14px 6px 0;border-top:1px solid var(--line);vertical-align:top;white-space:nowrap}
td:last-child{white-space:normal}tr.said td{border-top:0;padding-top:0;color:var(--soft);font-size:13px}
tr.changed b{color:var(--suggested)}
table.small{font-size:13px;margin-top:10px;width:auto}a{color:inherit}
.pair{display:flex;gap:20px;flex-wrap:wrap}figure{margin:10px 0 0;flex:1 1 400px;min-width:300px;max-width:510px}
svg{display:block;width:100%;height:auto}svg text{font-size:11px;fill:var(--soft)}svg text.row{font-size:8px}
.grid{stroke:var(--line)}.curve{fill:none;stroke-width:2;stroke-linejoin:round}
.curve.recall{stroke:var(--recall)}.curve.precision{stroke:var(--precision)}.curve.false{stroke:var(--false)}
.band{opacity:.14}.band.recall{fill:var(--recall)}.band.precision{fill:var(--precision)}.band.false{fill:var(--false)}
line.current{stroke:var(--current);stroke-dasharray:4 3;stroke-width:1.5}line.suggested{stroke:var(--suggested);
stroke-width:1.8}
line.asked{stroke:var(--soft);stroke-dasharray:2 3}svg text.asked{fill:var(--soft)}
rect.ground{fill:var(--ground)}rect.span{fill:var(--span)}polygon.score{fill:var(--score);stroke:var(--score);
stroke-width:.6;opacity:.85}
rect.before{fill:var(--current)}rect.after{fill:var(--suggested)}
.key i{display:inline-block;width:14px;height:3px;margin:0 5px 3px 12px;background:var(--soft)}
.key i:first-child{margin-left:0}.key i.recall{background:var(--recall)}.key i.precision{background:var(--precision)}
.key i.false{background:var(--false)}.key i.current{background:var(--current)}.key i.suggested,.key i.after{
background:var(--suggested)}
.key i.score{background:var(--score);height:9px;margin-bottom:0}.key i.span{background:var(--span);height:9px;
margin-bottom:0}
.key i.before{background:var(--current);height:6px;margin-bottom:1px}.key i.after{height:6px;margin-bottom:1px}
pre{background:var(--ground);border:1px solid var(--line);border-radius:8px;padding:12px 14px;overflow-x:auto;
margin:6px 0;
font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}
.plus{color:var(--suggested)}.minus{color:var(--false)}.same{color:var(--soft)}
.tag{font-size:12px;border-radius:9px;padding:1px 8px;border:1px solid}.tag.missed{color:var(--recall)}
.tag.false{color:var(--false)}article+article{border-top:1px solid var(--line);margin-top:14px}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
