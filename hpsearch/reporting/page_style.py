"""Style sheet of the HTML report, and the script that sorts its table."""

STYLE = """
:root { --ink: #1f2937; --muted: #6b7280; --line: #e5e7eb; --blue: #2563eb; --wash: #f8fafc; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--wash); line-height: 1.5;
       font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-size: 15px; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 80px; }
header p { color: var(--muted); margin: 4px 0 0; }
h1 { font-size: 30px; margin: 0; letter-spacing: -0.02em; }
h2 { font-size: 19px; margin: 44px 0 14px; letter-spacing: -0.01em; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px;
         margin-top: 26px; }
.card, figure, .box { background: white; border: 1px solid var(--line); border-radius: 10px; }
.card { padding: 14px 18px; }
.card b { display: block; font-size: 25px; font-weight: 650; letter-spacing: -0.02em;
          font-variant-numeric: tabular-nums; }
.card span { color: var(--muted); font-size: 13px; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 14px;
           align-items: start; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(520px, 1fr)); gap: 14px;
           align-items: start; }
@media (max-width: 620px) { .figures { grid-template-columns: 1fr; } }
figure { margin: 0; padding: 10px; overflow: hidden; }
figure img { width: 100%; display: block; }
.box { overflow: auto; max-height: 560px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px;
        font-variant-numeric: tabular-nums; }
th, td { padding: 7px 12px; text-align: right; white-space: nowrap;
         border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
thead th { position: sticky; top: 0; background: white; color: var(--muted); font-weight: 600;
           cursor: pointer; }
table.pairs td:last-child { white-space: normal; overflow-wrap: anywhere; }
tbody tr:last-child td { border-bottom: 0; }
tr.winner td { background: #eff6ff; font-weight: 600; }
.state { padding: 1px 8px; border-radius: 99px; font-size: 12px; background: #eef2ff; }
.PRUNED { background: #ffedd5; } .FAILED, .LOST { background: #fee2e2; }
.COMPLETE { background: #dcfce7; }
.note { color: var(--muted); font-size: 13.5px; max-width: 75ch; }
pre { margin: 0; padding: 14px 18px; font-size: 12.5px; line-height: 1.45; overflow: auto; }
summary { cursor: pointer; padding: 10px 18px; font-weight: 600; }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.tHead.querySelectorAll("th").forEach((head, column) => {
    let up = false;
    head.addEventListener("click", () => {
      up = !up;
      const key = row => row.cells[column].dataset.key ?? row.cells[column].textContent;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
}
"""
