import GraftOps

/// All modules of a model by site.
package struct GraftedSites {
  private var sequential: [Site: any SequentialModule] = [:]
  private var parallel: [Site: [any ParallelModule]] = [:]
  private var operations: [FrozenOperation.ID: [any OperationModule]] = [:]

  package init() {}

  /// Joins a module; those in sequence stand alone at their site, of others any number can stand there and act in the
  /// order of joining.
  ///
  /// - Throws: ``GraftError/siteTaken(site:adapter:)``.
  package mutating func join(_ module: any SiteModule, at site: Site, of adapter: String) throws {
    switch site {
    case .beforeBlock, .afterBlock, .before, .after:
      guard let module = module as? any SequentialModule else { Self.refuse(module, at: site) }
      guard sequential.updateValue(module, forKey: site) == nil else {
        throw GraftError.siteTaken(site: "\(site)", adapter: adapter)
      }
    case .beside, .around:
      guard let module = module as? any ParallelModule else { Self.refuse(module, at: site) }
      parallel[site, default: []].append(module)
    case .on(let operation):
      guard let module = module as? any OperationModule else { Self.refuse(module, at: site) }
      operations[operation, default: []].append(module)
    }
  }

  private static func refuse(_ module: any SiteModule, at site: Site) -> Never {
    preconditionFailure("\(type(of: module)) cannot stand \(site)")
  }

  /// Whole blocks below the lowest module; all of them where there is none.
  func frozenBlocks(depth: Int) -> Int {
    (Array(sequential.keys) + parallel.keys + operations.keys.map(Site.on))
      .map { $0.blocksBelow(depth: depth) }.min() ?? depth
  }

  func apply(at site: Site, to tokens: Tokens, on tape: Tape) throws -> Tokens {
    try sequential[site]?(tokens, on: tape) ?? tokens
  }

  /// The same behind a norm, if one operation does both.
  func apply(at site: Site, to tokens: Tokens, behind norm: FrozenNorm, on tape: Tape) throws -> Tokens? {
    guard operations[norm.id] == nil else { return nil }
    return try sequential[site]?(tokens, behind: norm, on: tape)
  }

  func add(at site: Site, reading input: Reading, to sum: Tensor, on tape: Tape) throws -> Tensor {
    try (parallel[site] ?? []).reduce(sum) { try $1(input, addedTo: $0, on: tape) }
  }

  func isTaken(_ site: Site) -> Bool {
    if case .on(let operation) = site { return operations[operation] != nil }
    return sequential[site] != nil || parallel[site] != nil
  }

  /// True where nothing from a block's first part, which mixes tokens, to the block's end lets one token know of another.
  func areTokenwise(behindFirstPartOf block: Block) -> Bool {
    let (first, others) = (block.parts[0].id, block.parts.dropFirst())
    let sites: [Site] =
      [.after(first), .beside(first), .around(first)]
      + others.flatMap { [.before($0.id), .after($0.id), .beside($0.id), .around($0.id)] }
      + [.afterBlock(block.index)]
    return others.allSatisfy(\.isTokenwise)
      && sites.allSatisfy { site in
        let modules: [any TokenModule] = (sequential[site].map { [$0] } ?? []) + (parallel[site] ?? [])
        return modules.allSatisfy { type(of: $0).isTokenwise }
      }
  }

  func adjust(
    _ output: Tensor, of operation: FrozenOperation.ID, reading input: LinearInput, on tape: Tape
  ) throws -> Tensor {
    try (operations[operation] ?? []).reduce(output) { try $1($0, reading: input, on: tape) }
  }
}
