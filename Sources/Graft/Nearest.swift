/// The known name that a mistyped one most likely means; `nil` where none is near.
///
/// - Parameter limit: The most letters that may be added, dropped or replaced.
func nearest(to name: String, in known: [String], within limit: Int) -> String? {
  let wanted = name.lowercased()
  let ranked = known.map { (name: $0, distance: distance($0.lowercased(), wanted)) }
  return ranked.min { $0.distance < $1.distance }.flatMap { $0.distance <= limit ? $0.name : nil }
}

/// Number of insertions, deletions and replacements between two words (Levenshtein).
private func distance(_ first: String, _ second: String) -> Int {
  let b = Array(second)
  var row = Array(0...b.count)
  for (i, x) in first.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for j in b.indices {
      let cost = x == b[j] ? diagonal : min(diagonal, row[j], row[j + 1]) + 1
      diagonal = row[j + 1]
      row[j + 1] = cost
    }
  }
  return row[b.count]
}
