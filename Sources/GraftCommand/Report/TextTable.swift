import GraftSystem

/// A table for a terminal: columns as wide as their widest cell, `numbers` flush right.
func textTable(_ header: [String], _ rows: [[String]], numbers: Set<Int>) -> String {
  let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
  let rule = widths.map { String(repeating: "-", count: $0) }
  return ([header, rule] + rows).map { row in
    header.indices.map { column in
      let space = String(repeating: " ", count: widths[column] - row[column].count)
      return numbers.contains(column) ? space + row[column] : row[column] + space
    }.joined(separator: "  ").trimmingEnd
  }.joined(separator: "\n")
}

extension ComparisonReport {
  /// The tables for a terminal.
  var text: String {
    let columns = ReportColumn.all.filter { $0.brief != nil }
    return sections.map { section in
      let table = textTable(
        columns.map { $0.brief ?? "" }, section.rows.map { row in columns.map { printable($0.text(row)) } },
        numbers: Set(columns.indices.filter { columns[$0].isNumber }))
      return "\(printable(section.title))\n\(section.subtitle)\n\n\(table)"
    }.joined(separator: "\n\n") + "\n"
  }

  /// The tables as Markdown, with the device and the commands.
  var markdown: String {
    let columns = ReportColumn.all
    let tables = sections.map { section in
      let rule = columns.map { $0.isNumber ? "---:" : "---" }
      let rows = section.rows.map { row in
        columns.map { column in
          let text = column.text(row).escapedForMarkdown
          return column.address(row).map { "[\(text)](\($0))" } ?? text
        }
      }
      let lines = ([columns.map(\.title), rule] + rows).map { "| " + $0.joined(separator: " | ") + " |" }
      return "## \(section.title.escapedForMarkdown)\n\n\(section.subtitle).\n\n"
        + lines.joined(separator: "\n")
    }
    let commands = commands.map { "    " + printable($0, limit: .max) }.joined(separator: "\n")
    return """
      # Adapters compared

      \(tables.joined(separator: "\n\n"))

      \(ReportColumn.notes)

      Device: \(devices.map(\.escapedForMarkdown).joined(separator: "; ")). Made by graft \
      \(versions.map(\.escapedForMarkdown).joined(separator: ", ")), \(date.escapedForMarkdown), with:

      \(commands)

      """
  }
}

extension String {
  /// Text for a cell or a heading of a Markdown file, with nothing left that Markdown or HTML would read.
  fileprivate var escapedForMarkdown: String {
    printable(self, limit: .max).reduce(into: "") { text, character in
      switch character {
      case "&": text += "&amp;"
      case "<": text += "&lt;"
      case ">": text += "&gt;"
      case "\\", "`", "*", "[", "]", "|", "#", "!", "~": text += "\\\(character)"
      default: text.append(character)
      }
    }
  }

  fileprivate var trimmingEnd: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }
}
