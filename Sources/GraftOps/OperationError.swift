/// What a user's choice of shapes or settings can make impossible for an operation.
public enum OperationError: Error, Equatable, Sendable {
  /// The width of the tokens cannot be shared evenly by so many heads.
  case unevenHeads(width: Int, heads: Int)
  /// Attention heads are wider than the kernels hold in registers.
  case headTooWide(headSize: Int, limit: Int)
  /// Not a whole number of patches fits into the image; `fitting` are the nearest sizes below and above that do.
  case unevenPatches(height: Int, width: Int, patch: Int, fitting: [Int])
  /// A probability of dropping that is not in [0, 1).
  case dropoutProbability(Float)
}

extension OperationError: CustomStringConvertible {
  /// What was asked, what the limit is and what to try.
  public var description: String {
    switch self {
    case .unevenHeads(let width, let heads):
      "Tokens of width \(width) cannot be shared by \(heads) attention heads: the width must be a multiple of them."
    case .headTooWide(let headSize, let limit):
      "Attention heads of size \(headSize) are more than the \(limit) supported: use more heads."
    case .unevenPatches(let height, let width, let patch, let fitting):
      """
      An image of \(height)x\(width) pixels does not divide into patches of \(patch): each side must be a multiple. \
      Sizes that fit: \(fitting.map { "\($0)" }.joined(separator: ", ")).
      """
    case .dropoutProbability(let probability):
      "A dropout probability of \(probability) was asked: it must be at least 0 and less than 1."
    }
  }
}
