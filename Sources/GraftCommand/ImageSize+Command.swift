public import ArgumentParser
public import Graft

/// `224`, or `224x448` for 224 rows of 448 pixels.
extension ImageSize: ExpressibleByArgument {
  /// What an option of this type says in the help.
  static let help = "Height and width of the images in pixels, such as 224x448, or one number for both"
}

extension JSONValue {
  /// A number for squares, otherwise height and width.
  init(_ size: ImageSize) {
    self = size.side.map { .integer($0) } ?? [.integer(size.height), .integer(size.width)]
  }
}
