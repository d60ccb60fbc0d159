/// Style, script and frame of the report's page.
///
/// Everything is inline: the page is one file and loads nothing. Without JavaScript only sorting is missing.
enum ReportTemplate {
  /// - Parameters:
  ///   - title: escaped for HTML.
  ///   - body: HTML.
  static func page(title: String, body: String) -> String {
    """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta http-equiv="Content-Security-Policy" \
    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
    <title>\(title)</title>
    <style>
    \(style)
    </style>
    </head>
    <body>
    \(body)
    <script>
    \(script)
    </script>
    </body>
    </html>

    """
  }

  private static let style = """
    :root {
      --paper: #fdfdfb; --ink: #1f2421; --quiet: #5c655f; --line: #dfe3df; --row: #f3f6f3;
      --accent: #2c6e4f; --fill: rgb(44 110 79 / 0.55);
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #151917; --ink: #e6ebe7; --quiet: #9da8a1; --line: #323a35; --row: #1d2320;
        --accent: #83cda5; --fill: rgb(131 205 165 / 0.5);
      }
    }
    * { box-sizing: border-box; }
    body {
      margin: 0 auto; max-width: 76rem; padding: 2.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
      font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
    }
    h1 { margin: 0; font-size: 2rem; line-height: 1.2; letter-spacing: -0.015em; }
    h2 { margin: 3rem 0 0.25rem; font-size: 1.3rem; line-height: 1.3; overflow-wrap: anywhere; }
    p { margin: 0.25rem 0 1rem; max-width: 46rem; }
    .lead, section > p, figcaption, caption { color: var(--quiet); }
    .lead { font-size: 1.1rem; }
    a { color: var(--accent); text-underline-offset: 0.15em; }
    figure { margin: 1.25rem 0 2rem; }
    figcaption { margin-top: 0.5rem; font-size: 0.9rem; }
    svg { display: block; width: 100%; height: auto; overflow: visible; }
    svg text { fill: var(--ink); font-variant-numeric: tabular-nums; }
    .axes text, .legend text { fill: var(--quiet); }
    .axes line { stroke: var(--line); }
    .axes .base { stroke: var(--quiet); }
    .axes .name, .legend .name { font-weight: 600; }
    .markers circle, .legend circle { fill: var(--fill); stroke: var(--accent); stroke-width: 1.25; }
    .whisker { stroke: var(--accent); stroke-width: 1.5; }
    .lines line { stroke: var(--quiet); stroke-width: 0.75; }
    .labels text { paint-order: stroke; stroke: var(--paper); stroke-width: 3; stroke-linejoin: round; font-weight: 500; }
    .scroll { overflow-x: auto; border-bottom: 1px solid var(--line); }
    .scroll:focus-visible, pre:focus-visible, button:focus-visible, a:focus-visible {
      outline: 2px solid var(--accent); outline-offset: 2px;
    }
    table { width: 100%; border-collapse: separate; border-spacing: 0; font-size: 0.9rem; line-height: 1.35; }
    caption { padding-bottom: 0.5rem; text-align: left; }
    th, td { padding: 0.45rem 0.6rem; text-align: left; white-space: nowrap; }
    .number { text-align: right; font-variant-numeric: tabular-nums; }
    thead th { border-bottom: 1.5px solid var(--quiet); vertical-align: bottom; white-space: normal; font-weight: 600; }
    tbody th { font-weight: 600; }
    tbody tr + tr > * { border-top: 1px solid var(--line); }
    thead th { position: relative; }
    thead button { all: unset; box-sizing: border-box; cursor: pointer; width: 100%; border-radius: 2px; }
    thead button:hover { color: var(--accent); }
    thead [aria-sort] button::after {
      content: "\\2191"; position: absolute; left: 0; bottom: 0.45rem; width: 0.6rem; text-align: center; color: var(--accent);
    }
    thead [aria-sort=descending] button::after { content: "\\2193"; }
    thead .number button::after { left: auto; right: 0; }
    tbody th, thead th:first-child { position: sticky; left: 0; background: var(--paper); z-index: 1; }
    tbody tr:nth-child(even) > * { background: var(--row); }
    dl { margin: 0.5rem 0 1rem; }
    dl div { display: flex; gap: 1rem; }
    dt { flex: 0 0 5.5rem; color: var(--quiet); }
    dd { margin: 0; overflow-wrap: anywhere; }
    pre { margin: 0.5rem 0; padding: 0.75rem 1rem; background: var(--row); border-radius: 6px; font-size: 0.85rem;
      white-space: pre-wrap; overflow-wrap: anywhere; }
    .narrow { display: none; }
    @media (max-width: 42rem) {
      body { padding: 1.5rem 1rem 3rem; }
      h1 { font-size: 1.6rem; }
      tbody th { min-width: 8.25rem; max-width: 9.5rem; white-space: normal; overflow-wrap: anywhere; }
      .wide { display: none; }
      .narrow { display: block; }
    }
    @media print { body { max-width: none; padding: 0; } .scroll { overflow: visible; } thead button::after { content: none; } }
    """

  /// Turns the headers into buttons that sort.
  private static let script = """
    for (const table of document.querySelectorAll("table")) {
      const body = table.tBodies[0];
      const headers = [...table.tHead.rows[0].cells];
      const key = (row, column) => {
        const cell = row.cells[column];
        if (!("value" in cell.dataset)) return cell.textContent;
        return cell.dataset.value === "" ? null : Number(cell.dataset.value);
      };
      headers.forEach((header, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...header.childNodes);
        header.append(button);
        button.addEventListener("click", () => {
          const isNumber = header.classList.contains("number");
          const before = header.getAttribute("aria-sort");
          // Numbers start with the largest, words with A.
          const isUp = before ? before === "descending" : !isNumber;
          for (const other of headers) other.removeAttribute("aria-sort");
          header.setAttribute("aria-sort", isUp ? "ascending" : "descending");
          const rows = [...body.rows].sort((a, b) => {
            const [x, y] = [key(a, column), key(b, column)];
            if (x === null || y === null) return (x === null) - (y === null);
            const order = typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
            return isUp ? order : -order;
          });
          body.append(...rows);
        });
      });
      table.caption.append(" A header sorts them.");
      headers.find((header) => header.textContent.startsWith("Top-1"))?.setAttribute("aria-sort", "descending");
    }
    """
}
