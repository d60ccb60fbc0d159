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
  /// A convolution whose kernel has no middle pixel, or no pixel at all.
  case kernelSide(Int)
  /// A convolution that leaves no output: the kernel is larger than the padded image.
  case kernelLargerThanImage(side: Int, height: Int, width: Int, padding: Int)
  /// Batch statistics of a single row: its variance is zero, and it would normalise to nothing but its bias.
  case singleRowBatch(channels: Int)
  /// A width that does not split into so many equal parts, one for each expert.
  case unevenExperts(width: Int, experts: Int)
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
    case .kernelSide(let side):
      "A convolution with a kernel of side \(side) was asked: it must be odd and positive (1, 3, 5, ...)."
    case .kernelLargerThanImage(let side, let height, let width, let padding):
      """
      A convolution with a kernel of side \(side) and padding \(padding) leaves nothing of a grid of \(height)x\(width): \
      use larger images, fewer down-sampling adapters or more padding.
      """
    case .singleRowBatch(let channels):
      """
      Batch normalisation in training needs at least two rows to take statistics from, and got one of \(channels) \
      channels: use a larger batch or image, or drop the last incomplete batch.
      """
    case .unevenExperts(let width, let experts):
      """
      A width of \(width) does not split into \(experts) experts: choose a number of experts that divides the width.
      """
    }
  }
}
