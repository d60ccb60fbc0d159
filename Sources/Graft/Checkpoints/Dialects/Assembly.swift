/// A canonical tensor as pieces of a file's.
struct Assembly: Sendable {
  /// A tensor of the file that is the canonical one or some of its rows.
  struct Piece: Sendable {
    /// The name in the file.
    let source: String
    let form: Form
    /// Which of the leading axis it is; `nil` where that is no axis of blocks.
    let block: Int?
    /// The tensor that a fold reads beside it, by its name in the file.
    let companion: String?
  }

  let name: String
  /// How many equal parts lie under each other.
  let parts: Int
  /// The shape of one of them.
  let partShape: [Int]
  /// The parts that the file has.
  private(set) var pieces: [Int: Piece] = [:]

  init(_ name: String, parts: Int, partShape: [Int]) {
    self.name = name
    self.parts = parts
    self.partShape = partShape
  }

  /// Adds a piece; false where its place is taken, or another number of parts is there.
  mutating func add(_ piece: Piece) -> Bool {
    let place = piece.form.place
    guard place?.parts ?? 1 == parts else { return false }
    return pieces.updateValue(piece, forKey: place?.first ?? 0) == nil
  }

  /// The whole shape; `nil` where parts of it cannot lie under each other.
  var shape: [Int]? {
    guard parts > 1 else { return partShape }
    guard let rows = partShape.first else { return nil }
    let (all, overflow) = rows.multipliedReportingOverflow(by: parts)
    let shape = [all] + partShape.dropFirst()
    return overflow || Safetensors.elementCount(shape) == nil ? nil : shape
  }

  /// The parts that the file lacks.
  var gaps: [Int] { (0..<parts).filter { pieces[$0] == nil } }
}
