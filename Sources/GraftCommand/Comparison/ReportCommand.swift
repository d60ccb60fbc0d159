import ArgumentParser
import Graft
import GraftSystem

struct ReportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report", abstract: "Make the report of comparisons again, or one of several.",
    usage: "graft report DIR ... [--out DIR]",
    discussion: """
      EXAMPLES
        graft report runs/flowers
        graft report runs/flowers runs/cotton --out runs/both

      DIR is a folder that graft compare wrote results.jsonl to. report.html and
      report.md are written to OUT, by default to the one DIR that is given; the
      page needs no network and holds one table and one plot for each task.
      """)

  @Argument(help: ArgumentHelp("Folders that graft compare wrote.", valueName: "dir"))
  var folders: [FilePath]
  @Option(help: "Folder for report.html and report.md.")
  var out: FilePath?
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      guard let out = out ?? (folders.count == 1 ? folders.first : nil) else {
        throw ValidationError("Say --out: there are several folders.")
      }
      let results = try folders.flatMap { folder in
        let results = try ResultsFile(folder: folder).results
        if results.isEmpty { throw CheckpointError.missingFile(path: folder / ResultsFile.name) }
        return results
      }
      let report = try ComparisonReport(results)
      try AtomicFile.createFolder(out)
      try report.write(to: out)
      reporter.say(Message(lines: report.text))
      let page = out / ComparisonReport.pageName
      reporter.say("Report: \(page)")
      reporter.emit(
        "done",
        ["runs": .integer(results.count), "report": JSONValue(page)])
    }
  }
}
