/// What training does to the outputs of the frozen branches before they join the residual stream.
package struct BranchRegularization: Sendable, Hashable {
  /// Probability with which an element is dropped, as the ILA paper's recipe has it.
  package var dropout: Float
  /// Probability with which a branch of the last block is dropped whole for an image; it grows in a straight line from 0
  /// at the first block, as in timm (stochastic depth, arXiv 1603.09382).
  package var dropPath: Float

  package init(dropout: Float = 0, dropPath: Float = 0) {
    self.dropout = dropout
    self.dropPath = dropPath
  }

  /// Nothing is dropped.
  package static let none = BranchRegularization()
}

extension TrainingRecipe {
  var regularization: BranchRegularization { .init(dropout: backboneDropout, dropPath: dropPath) }
}
