import SystemPackage

/// What a file holds, under canonical names.
struct TensorIndex {
  /// Dimensions by name.
  var shapes: [String: [Int]]
  /// Tensors of which the file holds a part and the rest is zero: biases of queries and values without the keys'.
  var partial: Set<String> = []

  subscript(_ name: String) -> [Int]? { shapes[name] }

  /// Checks that the tensors are exactly these.
  ///
  /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)``.
  func require(_ expected: [String: [Int]], path: FilePath) throws(CheckpointError) {
    let missing = expected.keys.filter { shapes[$0] == nil }.sorted(by: Safetensors.precedes)
    let unexpected = shapes.keys.filter { expected[$0] == nil }.sorted(by: Safetensors.precedes)
    let misshapen = shapes.sorted { Safetensors.precedes($0.key, $1.key) }.compactMap {
      name, actual -> CheckpointError.Misshapen? in
      guard let shape = expected[name], actual != shape else { return nil }
      return CheckpointError.Misshapen(name: name, expected: shape, actual: actual)
    }
    guard missing.isEmpty, unexpected.isEmpty, misshapen.isEmpty else {
      throw .tensorMismatch(path: path, missing: missing, unexpected: unexpected, misshapen: misshapen)
    }
  }

  /// The index of a file in timm's names; a classification head of the pre-training is no part of the backbone, nor is what
  /// DINOv2 put in place of patches that it hid.
  init(timm file: some TensorFile) {
    shapes = file.tensors.mapValues(\.shape).filter {
      !["head.weight", "head.bias", "mask_token"].contains($0.key)
    }
  }
}
