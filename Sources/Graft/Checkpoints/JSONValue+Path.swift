import GraftSystem
package import SystemPackage

extension JSONValue {
  /// A path; bytes that are no UTF-8 are escaped, see ``FilePath/escapedText``.
  package init(_ path: FilePath) { self = .string(path.escapedText) }

  /// The path that the value stands for; nil where it is none.
  package var pathValue: FilePath? {
    stringValue.flatMap { $0.isEmpty ? nil : FilePath(escapedText: $0) }
  }
}
