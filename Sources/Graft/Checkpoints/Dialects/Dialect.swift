import GraftOps

/// How one library or author names the tensors of the ViT family, as data.
struct Dialect: Sendable {
  /// What it is called in messages and manifests.
  let name: String
  /// Tensors that are all there, behind the prefix.
  let marks: [NamePattern]
  /// Tensors of which one is there, unless the list is empty.
  var anyOf: [NamePattern] = []
  /// Tensors that are not there.
  var absent: [NamePattern] = []
  /// Tensors that are not there together.
  var absentTogether: [NamePattern] = []
  /// What may stand before the names; the first that makes the marks match is taken.
  var prefixes = [""]
  let rules: [Rule]
  /// What a file may hold beside the backbone, with the prefix or without.
  var dropped: [NamePattern] = []
  /// Whether a classifier's name stands beside the prefix and not behind it.
  var hasHeadBeside = false
  /// Whether position embeddings are those of patches alone, a square of them.
  var hasSquarePositions = false
  /// Whether files are written under the canonical names, as the dialect's own container is not written.
  var isWrittenCanonically = false
  /// Whether timm computes these models by its classes for EVA and BEiT, which keep apart what others pack.
  var isEVAInTimm = false
  /// What transformers puts before a backbone's names beside a classifier, where its class with one computes the same.
  var modelPrefix: String?
  /// What the weights are computed with in that library.
  var facts = Facts()

  /// What shapes cannot tell, as far as the dialect implies it.
  struct Facts: Sendable, Equatable {
    enum Pooling: String, Sendable {
      /// The class token.
      case token
      /// The mean of the patches.
      case average
    }

    var epsilon: Float?
    var activation: Activation?
    var pooling: Pooling?
    var normalization: Normalization?
    var resampling: PositionResampling?
    /// The same of models with relative positions.
    var relativeResampling: PositionResampling?
  }

  /// Prefixes of wrappers around whole models, before a dialect's own.
  static let wrappers = [
    "", "module.", "_orig_mod.", "model.", "backbone.", "module.model.", "module.backbone.",
    "_orig_mod.module.",
    "teacher.backbone.", "teacher.",
  ]

  /// All of them.
  static let all: [Dialect] = [
    timmViT, timmEVA, originalDINO, originalEVA, originalBEiT, originalDeiT3, huggingFaceViT,
    huggingFaceDINOv2,
    huggingFaceDINOv3, huggingFaceCLIP, openAICLIP, googleViT,
  ].flatMap { $0 }

  /// A prefix that files of this dialect may have.
  struct Prefix: Sendable, Hashable {
    /// Of a wrapper.
    let wrapper: String
    /// With the dialect's own behind it.
    let whole: String
  }

  /// The prefixes, in the order in which they are tried.
  var allPrefixes: [Prefix] {
    Self.wrappers.flatMap { wrapper in prefixes.map { Prefix(wrapper: wrapper, whole: wrapper + $0) } }
  }

  /// The prefix behind which a file's names are this dialect's; `nil` where they are not.
  func prefix(in tensors: [String: TensorInfo]) -> Prefix? {
    func holds(_ pattern: NamePattern, _ prefix: Prefix) -> Bool {
      tensors[prefix.whole + pattern.text] != nil
    }
    return allPrefixes.first { prefix in
      marks.allSatisfy { holds($0, prefix) } && (anyOf.isEmpty || anyOf.contains { holds($0, prefix) })
        && !absent.contains { holds($0, prefix) }
        && (absentTogether.isEmpty || !absentTogether.allSatisfy { holds($0, prefix) })
    }
  }
}

extension Dialect {
  /// A module's operation under its canonical name, and which of the parts of a packed one it is.
  struct Operation: Sendable, Hashable {
    let name: String
    var part: Form.Rows?
  }

  /// The operation behind a module's name, in any dialect's spelling; `nil` where there is none.
  ///
  /// - Parameter module: The name of a layer, such as `vit.encoder.layer.3.attention.attention.query`.
  static func operation(ofModule module: String) -> Operation? {
    for dialect in all {
      for prefix in dialect.allPrefixes where module.hasPrefix(prefix.whole) {
        let weight = module.dropFirst(prefix.whole.count) + ".weight"
        for rule in dialect.rules where rule.source.hasPart {
          guard let match = rule.source.match(String(weight)), let target = rule.target.name(match),
            target.hasSuffix(".weight")
          else { continue }
          return Operation(name: String(target.dropLast(".weight".count)), part: rule.form.place)
        }
      }
    }
    return nil
  }
}
