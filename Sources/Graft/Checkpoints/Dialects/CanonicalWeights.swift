/// A file as the canonical names see it.
struct CanonicalWeights: WeightSource {
  let file: any TensorFile
  let index: TensorIndex

  init(_ file: any TensorFile) throws(CheckpointError) {
    self.file = file
    index = TensorIndex(timm: file)
  }

  func floats(_ tensor: TensorSpec) throws -> [Float] { try file.floats(tensor.name, requireFinite: true) }
}
