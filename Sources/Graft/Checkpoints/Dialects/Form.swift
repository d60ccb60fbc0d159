/// How a file's tensor lies in a canonical one.
///
/// Each form but the folds is a rearrangement, and so has its inverse.
struct Form: Sendable, Hashable {
  /// Some of equal parts of the leading axis.
  struct Rows: Sendable, Hashable {
    let first: Int
    let count: Int
    let parts: Int
  }

  /// Whose numbers a source without one has.
  enum Blocks: Sendable, Hashable {
    /// The name's own.
    case named
    /// Its leading axis is the block.
    case stacked
    /// It is every block's.
    case shared
  }

  /// What is computed.
  enum Fold: Sendable, Hashable {
    /// The first row of that tensor is added: a class token whose position was stored apart.
    case plusFirstRow(of: NamePattern)
    /// The first row is left out.
    case withoutFirstRow
    /// Values are kept where that tensor is 1 and zero where it is 0.
    case masked(by: NamePattern)
  }

  /// Which of the source's axes each axis of the result runs over; `nil` leaves them as they are.
  ///
  /// The last one runs quickest; none is an axis of length 1.
  var axes: [[Int]]?
  /// Which rows of the source, before anything else; `nil` takes all.
  var taken: Rows?
  /// Which rows of the canonical tensor it fills; `nil` fills all.
  var place: Rows?
  var blocks = Blocks.named
  var fold: Fold?

  /// The same tensor.
  static let same = Form()
  /// A vector for a token, (D) to (1, 1, D).
  static let token = Form(axes: [[], [], [0]])
  /// A table for a position embedding, (N, D) to (1, N, D).
  static let table = Form(axes: [[], [0], [1]])
  /// A matrix as (inputs, outputs), to (outputs, inputs).
  static let transposed = Form(axes: [[1], [0]])
  /// A convolution as (height, width, inputs, outputs), to (outputs, inputs, height, width).
  static let convolution = Form(axes: [[3], [2], [0], [1]])
  /// A matrix as (inputs, heads, head width), to (outputs, inputs).
  static let toHeads = Form(axes: [[1, 2], [0]])
  /// A matrix as (heads, head width, outputs), to (outputs, inputs).
  static let fromHeads = Form(axes: [[2], [0, 1]])
  /// A bias as (heads, head width), to one axis.
  static let headBias = Form(axes: [[0, 1]])
  /// One table for all blocks.
  static let shared = Form(blocks: .shared)
  /// A class token with the first row of positions.
  static func plusFirstRow(of positions: NamePattern) -> Form { Form(fold: .plusFirstRow(of: positions)) }
  /// Positions without the class token's.
  static let withoutFirstRow = Form(fold: .withoutFirstRow)
  /// Values under a mask of zeros and ones.
  static func masked(by mask: NamePattern) -> Form { Form(fold: .masked(by: mask)) }
  /// One of equal parts under each other, such as queries, keys and values.
  static func rows(_ part: Int, of parts: Int) -> Form { same.rows(part, of: parts) }
  /// What is taken from equal parts under each other.
  static func taking(_ part: Int, _ count: Int = 1, of parts: Int) -> Form {
    Form(taken: Rows(first: part, count: count, parts: parts))
  }

  /// The same, as one of equal parts under each other.
  func rows(_ part: Int, of parts: Int) -> Form {
    var form = self
    form.place = Rows(first: part, count: 1, parts: parts)
    return form
  }

  /// The same of a tensor whose leading axis is the block.
  var stacked: Form {
    var form = self
    form.blocks = .stacked
    return form
  }
}

extension Form {
  /// The shape that one block's source has as a part of a canonical tensor; `nil` where it does not fit.
  func shape(of source: [Int]) -> [Int]? {
    var shape = source
    if let taken {
      guard let rows = shape.first, rows % taken.parts == 0 else { return nil }
      shape[0] = rows / taken.parts * taken.count
    }
    if let axes {
      guard axes.reduce(0, { $0 + $1.count }) == shape.count else { return nil }
      let source = shape
      var lengths: [Int] = []
      for group in axes {
        guard let length = Safetensors.elementCount(group.map { source[$0] }) else { return nil }
        lengths.append(length)
      }
      shape = lengths
    }
    if fold == .withoutFirstRow {
      guard shape.count == 3, shape[0] == 1, shape[1] > 0 else { return nil }
      shape[1] -= 1
    }
    return Safetensors.elementCount(shape) == nil ? nil : shape
  }

  /// For each element of the result the element of the source that it is; `nil` where they lie in the same order.
  func order(of source: [Int]) -> [Int]? {
    guard let axes, !axes.joined().elementsEqual(0..<source.count) else { return nil }
    // Before a row of nothing could be counted.
    if source.contains(0) { return [] }
    let strides = source.indices.map { source[($0 + 1)...].reduce(1, *) }
    var order = [0]
    for axis in axes.joined() {
      order = order.flatMap { start in (0..<source[axis]).map { start + $0 * strides[axis] } }
    }
    return order
  }
}
