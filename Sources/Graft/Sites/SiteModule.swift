package import GraftOps

/// What an adapter puts at a site.
package protocol SiteModule {
  /// Whether it reads neighbouring cells, which tokens between them would disturb.
  static var needsGrid: Bool { get }
}

extension SiteModule {
  package static var needsGrid: Bool { false }
}

/// What joins at a site and sees whole sequences.
package protocol TokenModule: SiteModule {
  /// True where each token's result depends on that token alone.
  ///
  /// Then nothing is lost by giving it some of the tokens only.
  static var isTokenwise: Bool { get }
}

/// What an adapter does at a site in sequence: tokens in, tokens out.
package protocol SequentialModule: TokenModule {
  func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens
  /// The same behind a norm on which nothing stands, where one operation does both and the normalised tokens need not be
  /// kept or computed again; else `nil`.
  func callAsFunction(_ tokens: Tokens, behind norm: FrozenNorm, on tape: Tape) throws -> Tokens?
}

extension SequentialModule {
  package func callAsFunction(_ tokens: Tokens, behind norm: FrozenNorm, on tape: Tape) throws -> Tokens? {
    nil
  }
}

/// What an adapter does beside a part: reads the part's input and adds to the residual stream.
package protocol ParallelModule: TokenModule {
  /// - Parameters:
  ///   - input: what the part reads.
  ///   - sum: the residual stream after the part's result was added.
  /// - Returns: `sum` plus this module's output.
  func callAsFunction(_ input: Reading, addedTo sum: Tensor, on tape: Tape) throws -> Tensor
}

/// What an adapter does on a frozen operation: reads what the operation read and changes what it gave.
package protocol OperationModule: SiteModule {
  /// - Parameters:
  ///   - output: (..., outputs), what the operation gave, before layer scale and activation.
  ///   - input: (..., inputs), what the operation read.
  func callAsFunction(_ output: Tensor, reading input: LinearInput, on tape: Tape) throws -> Tensor
}
