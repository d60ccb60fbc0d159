import GraftSystem

/// What was known of weights beside their tensors when they were converted, in the metadata of the file that was written.
enum RecordedFacts {
  /// The entry.
  static let key = "graft_backbone"

  private static let imageSize = "image_size"

  /// The facts with who said them, but for what is merely usual or was said for the occasion, and the size of the images.
  static func text(_ reading: BackboneReading) -> String {
    var facts: [String: JSONValue] = [:]
    for (fact, origin) in reading.origins where origin != .usual && origin != .flag {
      facts[fact.rawValue] = ["value": reading.value(of: fact), "origin": .string(origin.rawValue)]
    }
    if let side = reading.architecture.imageSize.side { facts[imageSize] = .integer(side) }
    return JSONValue.object(facts).text
  }

  /// What a file records, the strongest first.
  static func sayings(in file: any TensorFile, _ notes: inout [String]) -> [BackboneOptions] {
    guard let text = file.metadata[key] else { return [] }
    let facts = (try? JSON.value(JSONValue.self, of: text))?.objectValue ?? [:]
    var sizes = BackboneOptions()
    sizes.trainedSize = facts[imageSize]?.intValue
    let sayings = FactOrigin.allCases.map { origin in
      var options = BackboneOptions()
      options.origin = origin
      for fact in BackboneFact.allCases {
        guard let entry = facts[fact.rawValue]?.objectValue, entry["origin"]?.stringValue == origin.rawValue
        else { continue }
        options.take(fact, entry["value"], &notes)
      }
      return options
    }
    return sayings + [sizes]
  }
}
