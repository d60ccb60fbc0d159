/// Height and width of images in pixels.
///
/// Encoded as one number where both are equal, else as `[height, width]`.
public struct ImageSize: Sendable, Hashable {
  /// Number of rows.
  public var height: Int
  /// Number of columns.
  public var width: Int

  /// Creates a size.
  public init(height: Int, width: Int) {
    self.height = height
    self.width = width
  }

  /// A square.
  public init(_ side: Int) { self.init(height: side, width: side) }

  /// Number of pixels.
  public var count: Int { height * width }

  /// The side of a square; `nil` for other sizes.
  public var side: Int? { height == width ? height : nil }

  /// Both sides, changed alike.
  package func map(_ change: (Int) throws -> Int) rethrows -> ImageSize {
    ImageSize(height: try change(height), width: try change(width))
  }
}

extension ImageSize: ExpressibleByIntegerLiteral {
  /// A square.
  public init(integerLiteral side: Int) { self.init(side) }
}

extension ImageSize: CustomStringConvertible, LosslessStringConvertible {
  /// Such as `224`, or `224x448` for 224 rows of 448 pixels.
  public var description: String { side.map { "\($0)" } ?? "\(height)x\(width)" }

  /// Reads `224` or `224x448`; `nil` for anything else.
  public init?(_ description: String) {
    let parts = description.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    switch (parts.count, parts.first ?? nil, parts.last ?? nil) {
    case (1, let side?, _): self.init(side)
    case (2, let height?, let width?): self.init(height: height, width: width)
    default: return nil
    }
  }
}

extension ImageSize: Codable {
  /// Reads one number, or two: height and width.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let side = try? container.decode(Int.self) {
      self.init(side)
      return
    }
    let sides = try container.decode([Int].self)
    guard sides.count == 2 else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "a size is one number, or height and width")
    }
    self.init(height: sides[0], width: sides[1])
  }

  /// Writes one number where both are equal, else height and width.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if let side { try container.encode(side) } else { try container.encode([height, width]) }
  }
}
