package import GraftOps

/// A batch of token sequences: the class token, then prompts if any, then the patches of a grid, row by row.
package struct Tokens {
  /// (B, 1 + prompts + rows * columns, D).
  package let values: Tensor
  /// Rows of the patch grid.
  package let rows: Int
  /// Columns of the patch grid.
  package let columns: Int
  /// Tokens between the class token and the patches.
  package let prompts: Int

  package init(_ values: Tensor, rows: Int, columns: Int, prompts: Int = 0) {
    self.values = values
    self.rows = rows
    self.columns = columns
    self.prompts = prompts
  }

  /// Tokens of an image, class token and prompts included.
  package var count: Int { 1 + prompts + rows * columns }

  /// The class tokens alone.
  func classTokens(on tape: Tape) throws -> Tokens {
    Tokens(try tape.sliceTokens(values, from: 0, count: 1), rows: 0, columns: 0)
  }

  /// Other values in the same places.
  package func with(_ values: Tensor) -> Tokens {
    Tokens(values, rows: rows, columns: columns, prompts: prompts)
  }
}

/// What joins at a site and sees whole sequences.
package protocol TokenModule {
  /// True where each token's result depends on that token alone.
  ///
  /// Then nothing is lost by giving it some of the tokens only.
  static var isTokenwise: Bool { get }
}

/// What an adapter does at a site in sequence: tokens in, tokens out.
package protocol SequentialModule: TokenModule {
  func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens
}

/// What an adapter does beside a branch: reads the branch's input and adds to the residual stream.
package protocol ParallelModule: TokenModule {
  /// - Parameters:
  ///   - input: what the branch reads.
  ///   - sum: the residual stream after the branch was added.
  /// - Returns: `sum` plus this module's output.
  func callAsFunction(_ input: Tokens, addedTo sum: Tensor, on tape: Tape) throws -> Tensor
}

/// What an adapter does on a frozen operation: reads what the operation read and changes what it gave.
package protocol OperationModule {
  /// - Parameters:
  ///   - output: (..., outputs), what the operation gave, before an activation and with layer scale.
  ///   - input: (..., inputs), what the operation read.
  ///   - layerScale: (outputs), the backbone's factor on each output channel that `output` carries already; whatever a
  ///     module adds must be multiplied by it. `nil` is 1.
  func callAsFunction(_ output: Tensor, reading input: Tensor, layerScale: Tensor?, on tape: Tape) throws
    -> Tensor
}

/// All modules of a model by site.
package struct GraftedSites {
  private var sequential: [Site: any SequentialModule] = [:]
  private var parallel: [Site: [any ParallelModule]] = [:]
  private var operations: [FrozenOperation: [any OperationModule]] = [:]

  package init() {}

  /// Joins a module in sequence; a site carries one.
  ///
  /// - Throws: ``GraftError/siteTaken(site:adapter:)``.
  package mutating func join(_ module: any SequentialModule, at site: Site, of adapter: String) throws {
    guard sequential[site] == nil else { throw GraftError.siteTaken(site: "\(site)", adapter: adapter) }
    sequential[site] = module
  }

  /// Joins a module beside or around a branch; any number can stand there.
  package mutating func join(_ module: any ParallelModule, at site: Site) {
    parallel[site, default: []].append(module)
  }

  /// Joins a module on a frozen operation; any number can stand there and act in the order of joining.
  package mutating func join(_ module: any OperationModule, on operation: FrozenOperation) {
    operations[operation, default: []].append(module)
  }

  /// Whole blocks below the lowest module; all of them where there is none.
  func frozenBlocks(depth: Int) -> Int {
    (Array(sequential.keys) + parallel.keys + operations.keys.map(Site.on))
      .map { $0.blocksBelow(depth: depth) }.min() ?? depth
  }

  func apply(at site: Site, to tokens: Tokens, on tape: Tape) throws -> Tokens {
    try sequential[site]?(tokens, on: tape) ?? tokens
  }

  func add(at site: Site, reading input: Tokens, to sum: Tensor, on tape: Tape) throws -> Tensor {
    try (parallel[site] ?? []).reduce(sum) { try $1(input, addedTo: $0, on: tape) }
  }

  func isTaken(_ site: Site) -> Bool { sequential[site] != nil || parallel[site] != nil }

  /// True where nothing from a block's attention to its end lets one token know of another.
  func areTokenwise(behindAttentionOf block: Int) -> Bool {
    let sites: [Site] = [
      .afterAttention(block: block), .besideAttention(block: block), .aroundAttention(block: block),
      .beforeMLP(block: block), .afterMLP(block: block), .besideMLP(block: block), .aroundMLP(block: block),
      .afterBlock(block),
    ]
    return sites.allSatisfy { site in
      let modules: [any TokenModule] = (sequential[site].map { [$0] } ?? []) + (parallel[site] ?? [])
      return modules.allSatisfy { type(of: $0).isTokenwise }
    }
  }

  func isTaken(_ operation: FrozenOperation) -> Bool { operations[operation] != nil }

  func adjust(
    _ output: Tensor, of operation: FrozenOperation, reading input: Tensor, layerScale: Tensor? = nil,
    on tape: Tape
  ) throws -> Tensor {
    try (operations[operation] ?? []).reduce(output) {
      try $1($0, reading: input, layerScale: layerScale, on: tape)
    }
  }
}
