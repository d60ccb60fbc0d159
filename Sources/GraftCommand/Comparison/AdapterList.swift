import ArgumentParser
import Graft

/// Adapters with their settings, as `graft compare --adapters` takes them: `NAME` or `NAME:key=value,key=value`.
///
/// Adapters and settings are both separated by commas: a part `key=value` belongs to the adapter before it. Commas inside
/// brackets, braces and quotes separate nothing, so that a list such as `lora:on=["q","v"]` is one value.
struct AdapterList {
  /// One adapter under the name by which tables tell it from its siblings.
  struct Entry {
    /// The adapter's name and the settings that differ from its defaults, in the syntax of the command line.
    let label: String
    let adapter: any Adapter
  }

  let entries: [Entry]

  /// Reads the list; `all` is the whole catalogue, and what is named twice is there once.
  ///
  /// - Throws: `GraftError` for an unknown name or setting.
  init(_ text: String) throws {
    var entries: [Entry] = []
    func add(_ adapter: any Adapter) throws {
      let label = try Self.label(adapter)
      if !entries.contains(where: { $0.label == label }) {
        entries.append(Entry(label: label, adapter: adapter))
      }
    }
    for (name, settings) in try Self.parsed(text) {
      if name == "all", settings.isEmpty {
        try AdapterCatalog.all.forEach(add)
      } else {
        try add(makeAdapter(name, settings))
      }
    }
    guard !entries.isEmpty else { throw ValidationError("--adapters names no adapter.") }
    self.entries = entries
  }

  private static func parsed(_ text: String) throws -> [(name: String, settings: [String])] {
    var found: [(name: String, settings: [String])] = []
    for part in split(text) {
      let equals = part.firstIndex(of: "=") ?? part.endIndex
      let colon = part.firstIndex(of: ":") ?? part.endIndex
      if colon < equals {
        found.append((String(part[..<colon]), [String(part[part.index(after: colon)...])]))
      } else if equals < part.endIndex {
        guard !found.isEmpty else {
          throw ValidationError("--adapters \(text): the setting \(part) comes before any adapter.")
        }
        found[found.count - 1].settings.append(part)
      } else {
        found.append((part, []))
      }
    }
    return found
  }

  /// The parts between commas that stand outside brackets, braces and quotes.
  private static func split(_ text: String) -> [String] {
    var parts = [""]
    var depth = 0
    var isQuoted = false
    for character in text {
      if character == "\"" { isQuoted.toggle() }
      if !isQuoted, "[{".contains(character) { depth += 1 }
      if !isQuoted, "]}".contains(character) { depth -= 1 }
      if character == ",", depth <= 0, !isQuoted {
        parts.append("")
      } else {
        parts[parts.count - 1].append(character)
      }
    }
    return parts.map { $0.trimmed }.filter { !$0.isEmpty }
  }

  private static func label(_ adapter: any Adapter) throws -> String {
    let usual = try JSONValue(encoding: AdapterCatalog.named(adapter.name)).objectValue ?? [:]
    let changed = try changes(JSONValue(encoding: adapter).objectValue ?? [:], from: usual)
    return changed.isEmpty
      ? adapter.name
      : adapter.name + ":" + changed.map { "\($0.name)=\($0.value.setting)" }.joined(separator: ",")
  }

  /// The settings that differ, by name; those of an adapter within an adapter follow its name and a dot.
  private static func changes(
    _ settings: [String: JSONValue], from usual: [String: JSONValue]
  ) throws -> [(name: String, value: JSONValue)] {
    let names = Set(settings.keys).union(usual.keys).filter { settings[$0] != usual[$0] }.sorted()
    return try names.flatMap { name -> [(name: String, value: JSONValue)] in
      guard let host = settings[name]?.objectValue, let adapter = host["adapter"],
        let key = adapter.stringValue
      else { return [(name, settings[name] ?? .null)] }
      var plain = try JSONValue(encoding: AdapterCatalog.named(key)).objectValue ?? [:]
      plain["adapter"] = adapter
      let isUsual = usual[name]?.objectValue?["adapter"] == adapter
      return (isUsual ? [] : [(name, adapter)])
        + (try changes(host, from: plain).map { ("\(name).\($0.name)", $0.value) })
    }
  }
}

extension JSONValue {
  /// The value as a setting is written on the command line: a word without quotes where it stays the same value.
  fileprivate var setting: String {
    guard case .string(let word) = self, !word.isEmpty, !["true", "false", "null"].contains(word),
      Double(word) == nil,
      word.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "+-_.".contains($0)) })
    else { return text }
    return word
  }
}

extension String {
  /// Without spaces and line breaks at both ends.
  var trimmed: String {
    let isBlank = { (character: Character) in character.isWhitespace }
    return String(String(drop(while: isBlank).reversed().drop(while: isBlank)).reversed())
  }
}
