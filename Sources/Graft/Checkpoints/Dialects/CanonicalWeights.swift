import GraftSystem
import SystemPackage

/// A file's weights under canonical names, timm's for a plain ViT, whatever the file calls them; and the way back.
///
/// Queries, keys and values are always packed in `attn.qkv`, a gate and what it opens in `mlp.fc1`, in these orders of rows.
struct CanonicalWeights: Sendable {
  /// The file.
  let file: any TensorFile
  /// Whose names are in it.
  let dialect: Dialect
  /// What stands before them.
  let prefix: String
  /// What it holds under canonical names.
  let index: TensorIndex
  /// The file's names that the dialect neither reads nor knows to be beside a backbone.
  let unknown: [String]
  let wrapper: String
  let assemblies: [String: Assembly]

  /// A classifier's tensors by their names in the file.
  struct Head: Sendable, Equatable {
    let weight: String
    let bias: String?
  }

  /// The classifier that the file has beside its backbone; `nil` where it has none.
  var head: Head? {
    guard let weight = assemblies["head.weight"]?.pieces[0]?.source else { return nil }
    return Head(weight: weight, bias: assemblies["head.bias"]?.pieces[0]?.source)
  }

  /// Attention heads, where shapes tell them: an axis of the file's own, a column of relative positions each, or the norm of
  /// a head's queries.
  var heads: Int? {
    if let query = assemblies["blocks.0.attn.qkv.weight"]?.pieces[0], query.form.axes == Form.toHeads.axes {
      return file.tensors[query.source]?.shape.dropLast().last
    }
    if let table = index["blocks.0.attn.relative_position_bias_table"], table.count == 2 { return table[1] }
    guard let norm = index["blocks.0.attn.q_norm.weight"]?.first, norm > 0,
      let width = index["patch_embed.proj.weight"]?.first
    else { return nil }
    return width / norm
  }

  /// Finds whose names a file's are, and reads what it holds off its header; no weight is read.
  ///
  /// - Throws: ``CheckpointError``: another kind of model, names of nobody's, tensors that are missing, there twice or of
  ///   shapes that contradict each other.
  init(_ file: any TensorFile) throws(CheckpointError) {
    let (dialect, prefix) = try Self.dialect(of: file)
    var table = Table(file: file, dialect: dialect, prefix: prefix)
    try table.fill()
    self.file = file
    self.dialect = dialect
    self.prefix = prefix.whole
    wrapper = prefix.wrapper
    unknown = table.unknown
    assemblies = table.assemblies
    index = try table.index()
    if let refusal = TellingTensor.refusal(of: self) { throw refusal }
  }

  private static func dialect(of file: any TensorFile) throws(CheckpointError) -> (Dialect, Dialect.Prefix) {
    let tensors = file.tensors
    let found = Dialect.all.compactMap { dialect in dialect.prefix(in: tensors).map { (dialect, $0) } }
    if let first = found.first, found.count == 1 { return first }
    guard found.isEmpty else {
      throw .malformedFile(
        path: file.path,
        detail: "its tensors have the names of more than one library: \(listed(found.map(\.0.name)))")
    }
    if let refusal = TellingTensor.refusal(ofNamesIn: file) { throw refusal }
    throw nearest(to: file)
  }

  /// The error for names of nobody's: what the nearest dialect's marks lack.
  private static func nearest(to file: any TensorFile) -> CheckpointError {
    let tensors = file.tensors
    func missing(_ dialect: Dialect, _ prefix: Dialect.Prefix) -> [String] {
      dialect.marks.map { prefix.whole + $0.text }.filter { tensors[$0] == nil }
    }
    /// Names of which one would do, where there is none.
    func choice(_ dialect: Dialect, _ prefix: Dialect.Prefix) -> [String] {
      let names = dialect.anyOf.map { prefix.whole + $0.text }
      return names.contains { tensors[$0] != nil } || names.isEmpty
        ? [] : ["one of \(names.joined(separator: ", "))"]
    }
    var best = (dialect: Dialect.all[0], prefix: Dialect.all[0].allPrefixes[0], found: 0)
    for dialect in Dialect.all {
      for prefix in dialect.allPrefixes {
        let found = dialect.marks.count - missing(dialect, prefix).count
        if found > best.found { best = (dialect, prefix, found) }
      }
    }
    let known = best.found > 0 ? best.dialect.absent.map { best.prefix.whole + $0.text } : file.names
    return .unknownNames(
      path: file.path, dialect: best.dialect.name,
      missing: missing(best.dialect, best.prefix) + choice(best.dialect, best.prefix),
      unexpected: known.filter { tensors[$0] != nil })
  }

  /// Checks that the file holds exactly these tensors, in the file's own names.
  ///
  /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)``.
  func require(_ expected: [TensorSpec]) throws(CheckpointError) {
    func names(_ canonical: String) -> [String] {
      let names = nameInFile(canonical)
      return names.isEmpty ? [canonical] : names
    }
    let shapes = Dictionary(uniqueKeysWithValues: expected.map { ($0.name, $0.shape) })
    let missing = expected.filter { index[$0.name] == nil }.flatMap { names($0.name) }
    let extra = index.names.filter { shapes[$0] == nil }.flatMap(names)
    let misshapen = index.names.compactMap { name -> CheckpointError.Misshapen? in
      guard let shape = shapes[name], let actual = index[name], actual != shape else { return nil }
      return CheckpointError.Misshapen(name: names(name)[0], expected: shape, actual: actual)
    }
    let unexpected = extra + unknown
    guard missing.isEmpty, unexpected.isEmpty, misshapen.isEmpty else {
      throw .tensorMismatch(
        path: file.path, missing: missing.sorted(by: Safetensors.precedes),
        unexpected: unexpected.sorted(by: Safetensors.precedes), misshapen: misshapen)
    }
  }

  /// What the file calls a canonical tensor: several names where it keeps its parts apart, none where it has no place for it.
  func nameInFile(_ canonical: String) -> [String] {
    if let assembly = assemblies[canonical] {
      let sources = (0..<assembly.parts).compactMap { assembly.pieces[$0]?.source }
      return sources.indices.filter { !sources[..<$0].contains(sources[$0]) }.map { sources[$0] }
    }
    let names = dialect.names(of: canonical)
    guard let first = names.first else { return [] }
    let parts = names.filter { $0.place?.parts == first.place?.parts }
    return (first.place == nil ? [first] : parts).map {
      (canonical.hasPrefix("head") && dialect.hasHeadBeside ? wrapper : prefix) + $0.name
    }
  }
}

extension Dialect {
  /// The names that a canonical tensor or its parts may have behind the prefix.
  func names(of canonical: String) -> [(name: String, place: Form.Rows?)] {
    rules.compactMap { rule in
      rule.target.match(canonical).flatMap(rule.source.name).map { ($0, rule.form.place) }
    }
  }
}

/// The canonical tensors while they are put together.
private struct Table {
  let file: any TensorFile
  let dialect: Dialect
  let prefix: Dialect.Prefix
  var assemblies: [String: Assembly] = [:]
  var unknown: [String] = []

  /// More blocks than any model has.
  private static let maximumBlocks = 4096
  private static let keyBias: NamePattern = "blocks.{i}.attn.qkv.bias"

  init(file: any TensorFile, dialect: Dialect, prefix: Dialect.Prefix) {
    self.file = file
    self.dialect = dialect
    self.prefix = prefix
  }

  mutating func fill() throws(CheckpointError) {
    var shared: [(rule: Rule, match: NamePattern.Match, name: String)] = []
    for name in file.names {
      let isInside = name.hasPrefix(prefix.whole)
      let outer = name.hasPrefix(prefix.wrapper) ? prefix.wrapper : ""
      let stripped = String(name.dropFirst((isInside ? prefix.whole : outer).count))
      var isMapped = false
      for rule in dialect.rules where isInside || rule.isHead {
        guard var match = rule.source.match(stripped) else { continue }
        isMapped = true
        switch rule.form.blocks {
        case .named: try add(name, rule, match)
        case .shared: shared.append((rule, match, name))
        case .stacked:
          guard let blocks = try file.info(name).shape.first, blocks <= Self.maximumBlocks else {
            throw misfit(name)
          }
          for block in 0..<blocks {
            match.number = block
            try add(name, rule, match, block: block)
          }
        }
      }
      if !isMapped, !dialect.dropped.contains(where: { $0.matches(stripped) }) { unknown.append(name) }
    }
    guard !shared.isEmpty else { return }
    let block = NamePattern("blocks.{i}.*")
    for number in Set(assemblies.keys.compactMap { block.match($0)?.number }).sorted() {
      for (rule, match, name) in shared {
        try add(name, rule, NamePattern.Match(number: number, part: match.part))
      }
    }
  }

  private mutating func add(_ name: String, _ rule: Rule, _ match: NamePattern.Match, block: Int? = nil)
    throws(CheckpointError)
  {
    guard let target = rule.target.name(match) else { throw misfit(name) }
    let info = try file.info(name)
    guard info.type.isOfWeights else {
      throw .unsupportedType(path: file.path, tensor: name, type: info.type.rawValue, wanted: "floats")
    }
    let source = Array(info.shape.dropFirst(block == nil ? 0 : 1))
    let companion = try companion(name, source, rule.form, match)
    guard let shape = rule.form.shape(of: source) else { throw misfit(name) }
    let parts = rule.form.place?.parts ?? 1
    var assembly = assemblies[target] ?? Assembly(target, parts: parts, partShape: shape)
    guard assembly.add(.init(source: name, form: rule.form, block: block, companion: companion)) else {
      throw .malformedFile(
        path: file.path,
        detail: "tensor \(printable(name)) is there a second time under another name, as \(printable(target))"
      )
    }
    guard assembly.partShape == shape else {
      let first = assembly.pieces.values.first { $0.source != name }?.source ?? name
      throw .tensorMismatch(
        path: file.path, missing: [], unexpected: [],
        misshapen: [.init(name: name, expected: try file.info(first).shape, actual: source)])
    }
    guard assembly.shape != nil else { throw misfit(name) }
    assemblies[target] = assembly
  }

  /// The tensor that a fold reads, of a shape that fits.
  private func companion(_ name: String, _ shape: [Int], _ form: Form, _ match: NamePattern.Match)
    throws(CheckpointError) -> String?
  {
    func other(_ pattern: NamePattern) throws(CheckpointError) -> (name: String, shape: [Int]) {
      guard let other = pattern.name(match).map({ prefix.whole + $0 }) else { throw misfit(name) }
      return (other, try file.info(other).shape)
    }
    switch form.fold {
    case nil, .withoutFirstRow: return nil
    case .plusFirstRow(let pattern):
      let positions = try other(pattern)
      guard shape.count == 3, shape[0] == 1, shape[1] == 1, positions.shape.count == 3,
        positions.shape[0] == 1, positions.shape[1] > 0, positions.shape[2] == shape[2]
      else { throw misfit(positions.name) }
      return positions.name
    case .masked(let pattern):
      let mask = try other(pattern)
      guard mask.shape == shape else { throw misfit(mask.name) }
      return mask.name
    }
  }

  private func misfit(_ name: String) -> CheckpointError {
    .malformedFile(
      path: file.path,
      detail:
        "tensor \(printable(name)) is \(file.tensors[name]?.shape ?? []), which is no shape for it in a file of "
        + dialect.name)
  }

  /// What is there as a whole, or but for the keys' bias.
  func index() throws(CheckpointError) -> TensorIndex {
    var index = TensorIndex()
    var missing: [String] = []
    for (name, assembly) in assemblies {
      let gaps = assembly.gaps
      if gaps == [1], Self.keyBias.matches(name) {
        index.partial.insert(name)
      } else if !gaps.isEmpty {
        missing += dialect.names(of: name).filter { $0.place.map { gaps.contains($0.first) } ?? false }
          .map { prefix.whole + $0.name }
      }
      if !name.hasPrefix("head") { index.shapes[name] = assembly.shape }
    }
    guard missing.isEmpty else {
      throw .unknownNames(
        path: file.path, dialect: dialect.name, missing: missing.sorted(by: Safetensors.precedes),
        unexpected: [])
    }
    return index
  }
}
