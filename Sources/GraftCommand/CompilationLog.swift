import Logging

/// That the library compiles kernels: a remark where someone watches, an event with `--json`, else nothing.
struct CompilationLog: LogHandler {
  let isJSON: Bool
  var logLevel = Logger.Level.notice
  var metadata = Logger.Metadata()

  init(isJSON: Bool) { self.isJSON = isJSON }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let reporter = Reporter(isJSON: isJSON)
    reporter.endProgress()
    if reporter.isTerminal { reporter.note("\(event.message)") }
    reporter.emit("compiling", [:])
  }
}
