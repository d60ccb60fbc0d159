/// Files of class folders that no decoder reads, counted by ending.
package enum LeftOut {
  /// Such as `2 .bmp, 1 .txt, 3 without an ending`.
  package static func list(_ counts: [String: Int]) -> String {
    counts.sorted { $0.key < $1.key }.map { ending, count in
      "\(count) \(ending.isEmpty ? "without an ending" : ".\(ending)")"
    }.joined(separator: ", ")
  }
}
