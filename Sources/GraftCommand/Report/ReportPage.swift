import GraftSystem

/// The report as one HTML file that needs nothing beside it.
struct ReportPage {
  private let report: ComparisonReport

  init(_ report: ComparisonReport) { self.report = report }

  var html: String {
    let tasks = report.sections.map(\.task.escapedForHTML).joined(separator: ", ")
    return ReportTemplate.page(
      title: "Adapters compared: \(tasks)",
      body: """
        <header>
        <h1>Adapters compared</h1>
        <p class="lead">\(lead.escapedForHTML)</p>
        </header>
        <main>
        \(report.sections.enumerated().map { section($1, number: $0 + 1) }.joined(separator: "\n"))
        <section class="notes" aria-labelledby="notes">
        <h2 id="notes">How to read this</h2>
        <p>\(ReportColumn.notes.escapedForHTML)</p>
        </section>
        <section class="notes" aria-labelledby="made">
        <h2 id="made">How it was made</h2>
        <dl>
        <div><dt>Device</dt><dd>\(report.devices.map(\.escapedForHTML).joined(separator: "<br>"))</dd></div>
        <div><dt>Program</dt><dd>graft \(report.versions.map(\.escapedForHTML).joined(separator: ", "))</dd></div>
        <div><dt>Finished</dt><dd>\(report.date.escapedForHTML)</dd></div>
        </dl>
        \(report.commands.map { "<pre tabindex=\"0\"><code>\($0.escapedForHTML)</code></pre>" }.joined(separator: "\n"))
        </section>
        </main>
        """)
  }

  private var lead: String {
    let methods = Set(report.sections.flatMap { $0.rows.map(\.label) }).count
    let seeds = report.sections.flatMap { $0.rows.map(\.top1.values.count) }.max() ?? 0
    return "\(methods) \(methods == 1 ? "method" : "methods"), \(report.sections.count) "
      + "\(report.sections.count == 1 ? "task" : "tasks"), up to \(seeds) \(seeds == 1 ? "seed" : "seeds") each."
  }

  private func section(_ section: ComparisonReport.Section, number: Int) -> String {
    let plots = [("wide", 880.0, 520.0), ("narrow", 380.0, 480.0)].map { size, width, height in
      let plot = ScatterPlot(
        section: section, width: width, height: height, identifier: "plot-\(number)-\(size)")
      return "<div class=\"plot \(size)\">\n\(plot.svg)\n</div>"
    }
    return """
      <section aria-labelledby="task-\(number)">
      <h2 id="task-\(number)"><bdi>\(section.title.escapedForHTML)</bdi></h2>
      <p>\(section.subtitle.escapedForHTML).</p>
      <figure>
      \(plots.joined(separator: "\n"))
      <figcaption>Accuracy over operations. A marker’s area is in proportion to the trainable parameters; whiskers reach from \
      the worst seed to the best.</figcaption>
      </figure>
      \(table(section, number: number))
      </section>
      """
  }

  private func table(_ section: ComparisonReport.Section, number: Int) -> String {
    let columns = ReportColumn.all
    let head = columns.map { "<th scope=\"col\"\($0.isNumber ? " class=\"number\"" : "")>\($0.title)</th>" }
    let rows = section.rows.map { row in
      let cells = columns.enumerated().map { index, column in
        let text = column.text(row).escapedForHTML
        let content = column.address(row).map { "<a href=\"\($0.escapedForHTML)\">\(text)</a>" } ?? text
        let value = column.value.map { " data-value=\"\($0(row).map { "\($0)" } ?? "")\"" } ?? ""
        return index == 0
          ? "<th scope=\"row\"><bdi>\(content.breakable)</bdi></th>"
          : "<td\(column.isNumber ? " class=\"number\"" : "")\(value)>\(content)</td>"
      }
      return "<tr>\(cells.joined())</tr>"
    }
    return """
      <div class="scroll" role="region" aria-labelledby="caption-\(number)" tabindex="0">
      <table>
      <caption id="caption-\(number)">All methods on <bdi>\(section.task.escapedForHTML)</bdi>.</caption>
      <thead><tr>\(head.joined())</tr></thead>
      <tbody>
      \(rows.joined(separator: "\n"))
      </tbody>
      </table>
      </div>
      """
  }
}

extension String {
  /// HTML that may break where an adapter's settings begin.
  fileprivate var breakable: String {
    replacing(":", with: ":<wbr>").replacing(",", with: ",<wbr>")
  }

  /// Text that stays text in HTML, between tags and in quoted attributes.
  var escapedForHTML: String {
    printable(self, limit: .max).reduce(into: "") { text, character in
      switch character {
      case "&": text += "&amp;"
      case "<": text += "&lt;"
      case ">": text += "&gt;"
      case "\"": text += "&quot;"
      case "'": text += "&#39;"
      default: text.append(character)
      }
    }
  }
}
