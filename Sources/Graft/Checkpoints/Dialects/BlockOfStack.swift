import GraftSystem
import SystemPackage

/// A file whose tensors are one block's share of those that another stacks, so that reading a block reads no other.
struct BlockOfStack: TensorFile {
  let file: any TensorFile
  let block: Int

  var path: FilePath { file.path }
  var tensors: [String: TensorInfo] { file.tensors.compactMapValues(share) }
  var names: [String] { file.names.filter { tensors[$0] != nil } }
  var metadata: [String: String] { file.metadata }
  var contentHash: String { file.contentHash }

  private func share(_ info: TensorInfo) -> TensorInfo? {
    guard let blocks = info.shape.first, blocks > block else { return nil }
    return TensorInfo(type: info.type, shape: Array(info.shape.dropFirst()), count: info.count / blocks)
  }

  /// What the file says about one tensor, without looking at the others.
  func info(_ name: String) throws(CheckpointError) -> TensorInfo {
    guard let share = try share(file.info(name)) else { throw lacks(name) }
    return share
  }

  func withRawBytes<R>(_ name: String, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
    let info = try info(name)
    guard let bytes = info.type.bytes(of: info.count) else { throw lacks(name) }
    return try file.withRawBytes(name) {
      try body(UnsafeRawBufferPointer(rebasing: $0[block * bytes..<(block + 1) * bytes]))
    }
  }
}
