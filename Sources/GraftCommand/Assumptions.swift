import Graft

/// What is assumed about a backbone because neither its file nor its user tells it.
struct Assumptions {
  let facts: [BackboneFact]
  let architecture: any Architecture

  init(_ facts: Set<BackboneFact>, of architecture: any Architecture) {
    self.facts = BackboneFact.allCases.filter(facts.contains)
    self.architecture = architecture
  }

  /// One line for people, with the options that change what is assumed; `nil` where nothing is.
  var line: String? {
    guard !facts.isEmpty else { return nil }
    let text = "Assumed: \(facts.map(words).joined(separator: ", ")); the file does not tell."
    let options = facts.map(\.option)
    guard let last = options.last else { return text }
    let rest = options.dropLast().joined(separator: ", ")
    return "\(text) Say \(rest.isEmpty ? last : "\(rest) or \(last)") if the weights were trained otherwise."
  }

  /// Name and value of each.
  var json: JSONValue {
    .object(Dictionary(uniqueKeysWithValues: facts.map { ($0.rawValue, architecture.value(of: $0)) }))
  }

  private func words(_ fact: BackboneFact) -> String {
    let value = architecture.value(of: fact)
    return switch fact {
    case .heads: value == 1 ? "1 head" : "\(value.text) heads"
    case .epsilon: "epsilon \(value.text.replacing("e-0", with: "e-"))"
    case .activation:
      switch value.stringValue {
      case "gelu": "exact GELU"
      case "gelu_tanh": "GELU by tanh"
      case "quick_gelu": "QuickGELU"
      default: value.stringValue ?? value.text
      }
    case .normalization:
      switch value.stringValue {
      case "imagenet": "pixels scaled by ImageNet's figures"
      case "half": "pixels scaled to -1...1"
      default: "pixels scaled by \(value.stringValue ?? value.text)"
      }
    default: "\(fact.rawValue) \(value.stringValue ?? value.text)"
    }
  }
}

extension BackboneFact {
  /// The option that says it.
  fileprivate var option: String {
    switch self {
    case .heads, .epsilon, .normalization: "--\(rawValue)"
    default: "--set-backbone \(rawValue)=NAME"
    }
  }
}

extension BackboneReading {
  /// Why a file beside the weights is not used, and what is assumed.
  var remarks: [String] { notes + [Assumptions(assumed, of: architecture).line].compactMap(\.self) }

  /// Value and origin of each fact that no tensor tells.
  var json: JSONValue {
    .object(
      Dictionary(
        uniqueKeysWithValues: origins.map {
          ($0.key.rawValue, ["value": value(of: $0.key), "origin": .string($0.value.rawValue)])
        }))
  }
}

extension Reporter {
  /// Shows what was read of a file beside its shapes: facts with who says them, and what is assumed.
  func show(_ reading: BackboneReading) {
    let rows = BackboneFact.allCases.compactMap { fact in
      reading.origins[fact].map { origin in
        let value = reading.value(of: fact)
        return [fact.rawValue, value.stringValue ?? value.text, origin.rawValue]
      }
    }
    say(Message(lines: "\n" + textTable(["no tensor tells", "value", "said by"], rows, numbers: [])))
    sayRemarks(on: reading)
  }

  /// Says what is assumed, and why a file beside the weights is not used.
  func sayRemarks(on reading: BackboneReading?) {
    for line in reading?.remarks ?? [] { say("\(line)") }
  }
}
