/// What a linear layer reads: rows as they are, or behind a layer norm.
package enum LinearInput {
  case rows(Tensor)
  case behindNorm(NormedRows)

  /// The rows in memory; a norm that no product computed is computed now.
  package func tensor() throws -> Tensor {
    switch self {
    case .rows(let rows): rows
    case .behindNorm(let normed): try normed.tensor()
    }
  }

  package var gradientKey: GradientKey {
    switch self {
    case .rows(let rows): rows.gradientKey
    case .behindNorm(let normed): normed.gradientKey
    }
  }

  package var shape: [Int] { gradientKey.shape }
  var width: Int { shape.last ?? 1 }
  var rows: Int { shape.dropLast().reduce(1, *) }
  var isNormed: Bool { if case .behindNorm = self { true } else { false } }

  /// What a product reads: these very rows, or those that the norm reads.
  var operand: Tensor {
    switch self {
    case .rows(let rows): rows
    case .behindNorm(let normed): normed.input
    }
  }
}
