import GraftSystem
import SystemPackage

/// What timm or transformers say of a backbone in the files beside its weights.
///
/// They are read with care and believed where they can be: a file that is none, or of another model, says nothing, and a note
/// says why.
struct ConfigurationFiles: Sendable {
  /// What they say, the strongest first.
  private(set) var sayings: [BackboneOptions] = []
  /// How pictures are prepared, where they say it.
  private(set) var preprocessing: Preprocessing?
  /// Why a file, or an entry, is not used.
  private(set) var notes: [String] = []

  /// Largest file that is read, in bytes: a thousand classes by name need 80 KB.
  static let maximumBytes = 4 << 20

  /// Reads the files in the weights' folder.
  init(beside weights: CanonicalWeights) {
    let folder = weights.file.path.folder
    let (configuration, preprocessor) = (
      entries(folder / FactOrigin.configuration.rawValue), entries(folder / FactOrigin.preprocessor.rawValue)
    )
    guard let configuration else {
      if let preprocessor { read(preprocessor: preprocessor) }
      return
    }
    read(configuration, preprocessor, of: weights.index)
  }

  /// Reads what the two files hold.
  init(_ configuration: [String: JSONValue], preprocessor: [String: JSONValue]? = nil, of index: TensorIndex)
  {
    read(configuration, preprocessor, of: index)
  }

  private mutating func read(
    _ configuration: [String: JSONValue], _ preprocessor: [String: JSONValue]?, of index: TensorIndex
  ) {
    if configuration["architecture"]?.stringValue != nil {
      let timm = TimmConfiguration(configuration)
      guard timm.isOf(index) else { return refuse(timm.name) }
      sayings = timm.sayings
      preprocessing = timm.preprocessing
      notes += timm.notes
    } else if configuration["model_type"]?.stringValue != nil || configuration["hidden_size"] != nil {
      let huggingFace = HuggingFaceConfiguration(configuration)
      guard huggingFace.isOf(index) else { return refuse(huggingFace.name) }
      sayings = [huggingFace.options]
      notes += huggingFace.notes
      if let preprocessor { read(preprocessor: preprocessor) }
    } else {
      notes.append("config.json beside the weights is neither timm's nor transformers'; it is not used.")
    }
  }

  private mutating func read(preprocessor entries: [String: JSONValue]) {
    let file = PreprocessorConfiguration(entries)
    sayings.insert(file.options, at: 0)
    preprocessing = file.preprocessing
    notes += file.notes
  }

  private mutating func refuse(_ name: String) {
    notes.append("config.json beside the weights is of another model (\(printable(name))); it is not used.")
  }

  private mutating func entries(_ path: FilePath) -> [String: JSONValue]? {
    guard path.exists else { return nil }
    let name = path.lastComponent?.text ?? ""
    do {
      let bytes = try RegularFile.checkpointBytes(path, atMost: Self.maximumBytes)
      if let object = (try? JSON.value(JSONValue.self, of: bytes))?.objectValue { return object }
      notes.append("\(name) beside the weights is no JSON object; it is not used.")
    } catch {
      notes.append("\(name) beside the weights cannot be read; it is not used. (\(error))")
    }
    return nil
  }
}

extension BackboneOptions {
  /// Says a fact of a file's; what it cannot be is noted and left out.
  mutating func take(_ fact: BackboneFact, _ value: JSONValue?, _ notes: inout [String]) {
    guard let value, value != .null else { return }
    do { try set(fact, to: value) } catch {
      notes.append("In \(origin.rawValue) beside the weights: \(error) It is not used.")
    }
  }
}
