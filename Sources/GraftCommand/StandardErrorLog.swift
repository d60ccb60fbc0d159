import Logging

/// What the library has to say of a driver, as remarks on standard error.
struct StandardErrorLog: LogHandler {
  var logLevel = Logger.Level.info
  var metadata = Logger.Metadata()

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) { Reporter(isJSON: false).note("\(event.level.rawValue): \(event.message)") }
}
