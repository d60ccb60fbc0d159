package import GraftOps

/// A batch of token sequences with the class token in front, and the grid that the other tokens form.
package struct Tokens {
  /// (B, 1 + rows * columns, D).
  package let values: Tensor
  /// Rows of the patch grid.
  package let rows: Int
  /// Columns of the patch grid.
  package let columns: Int

  package init(_ values: Tensor, rows: Int, columns: Int) {
    self.values = values
    self.rows = rows
    self.columns = columns
  }

  /// Tokens of an image, class token included.
  package var count: Int { rows * columns + 1 }
}

/// What an adapter does at a site in sequence: tokens in, tokens out.
package protocol SequentialModule {
  func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens
}

/// What an adapter does beside a branch: reads the branch's input and adds to the residual stream.
package protocol ParallelModule {
  /// - Parameters:
  ///   - input: what the branch reads.
  ///   - sum: the residual stream after the branch was added.
  /// - Returns: `sum` plus this module's output.
  func callAsFunction(_ input: Tokens, addedTo sum: Tensor, on tape: Tape) throws -> Tensor
}

/// All modules of a model by site.
package struct GraftedSites {
  private var sequential: [Site: any SequentialModule] = [:]
  private var parallel: [Site: [any ParallelModule]] = [:]

  package init() {}

  /// Joins a module in sequence; a site carries one.
  ///
  /// - Throws: ``GraftError/siteTaken(site:adapter:)``.
  package mutating func join(_ module: any SequentialModule, at site: Site, of adapter: String) throws {
    guard sequential[site] == nil else { throw GraftError.siteTaken(site: "\(site)", adapter: adapter) }
    sequential[site] = module
  }

  /// Joins a module beside a branch; any number can stand there.
  package mutating func join(_ module: any ParallelModule, at site: Site) {
    parallel[site, default: []].append(module)
  }

  func apply(at site: Site, to tokens: Tokens, on tape: Tape) throws -> Tokens {
    try sequential[site]?(tokens, on: tape) ?? tokens
  }

  func add(at site: Site, reading input: Tokens, to sum: Tensor, on tape: Tape) throws -> Tensor {
    try (parallel[site] ?? []).reduce(sum) { try $1(input, addedTo: $0, on: tape) }
  }
}
