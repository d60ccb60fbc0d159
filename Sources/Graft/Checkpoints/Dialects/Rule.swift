/// One line of a dialect's table: what a tensor is called there, and which canonical one it is or is part of.
struct Rule: Sendable, Hashable {
  /// The name in the file, behind its prefix.
  let source: NamePattern
  /// timm's name for a plain ViT.
  let target: NamePattern
  let form: Form

  init(_ source: String, _ target: String, _ form: Form = .same) {
    self.source = NamePattern(source)
    self.target = NamePattern(target)
    self.form = form
  }

  /// Whether it is about a classifier, which may stand outside the prefix.
  var isHead: Bool { target.text.hasPrefix("head") }
}

extension [Rule] {
  /// Tensors that have their canonical names.
  static func same(_ names: String...) -> [Rule] { names.map { Rule($0, $0) } }

  /// Modules with a weight and perhaps a bias.
  static func modules(_ pairs: KeyValuePairs<String, String>, in source: String = "", to target: String = "")
    -> [Rule]
  {
    pairs.map { Rule("\(source)\($0).{p}", "\(target)\($1).{p}") }
  }

  /// Modules inside a block.
  static func block(_ source: String, _ pairs: KeyValuePairs<String, String>) -> [Rule] {
    modules(pairs, in: source, to: "blocks.{i}.")
  }

  /// Tensors inside a block.
  static func tensors(_ source: String, _ pairs: KeyValuePairs<String, String>) -> [Rule] {
    pairs.map { Rule("\(source)\($0)", "blocks.{i}.\($1)") }
  }

  /// Modules whose outputs are packed in one, in that order.
  static func packed(_ sources: [String], in target: String) -> [Rule] {
    sources.enumerated().map { Rule("\($1).{p}", "\(target).{p}", .rows($0, of: sources.count)) }
  }
}
