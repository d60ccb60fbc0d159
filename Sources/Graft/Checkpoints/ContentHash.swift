import Dispatch
import Synchronization

/// The hash of a file of tensors, computed once: see ``TensorFile/contentHash``.
final class ContentHash: Sendable {
  private let cached = Mutex<String?>(nil)

  /// The hash of the file that owns this value.
  func of(_ file: some TensorFile) -> String {
    cached.withLock { cached in
      if let cached { return cached }
      let hash = Self.compute(file)
      cached = hash
      return hash
    }
  }

  private static func compute(_ file: some TensorFile) -> String {
    let names = file.names
    let digests = Mutex([[UInt8]](repeating: [], count: names.count))
    DispatchQueue.concurrentPerform(iterations: names.count) { index in
      // The tensors were checked when the file was opened: each can be read.
      let digest = try? file.withRawBytes(names[index]) { SHA256.hash($0) }
      digests.withLock { $0[index] = digest ?? [] }
    }
    var hasher = SHA256()
    for (name, digest) in zip(names, digests.withLock { $0 }) {
      guard let info = file.tensors[name] else { continue }
      let type = info.type.rawValue
      hasher.update(bytes(name.utf8.count) + Array(name.utf8))
      hasher.update(bytes(type.utf8.count) + Array(type.utf8))
      hasher.update(bytes(info.shape.count) + info.shape.flatMap(bytes))
      hasher.update(digest)
    }
    return hexadecimal(hasher.finalize())
  }

  private static func bytes(_ number: Int) -> [UInt8] {
    withUnsafeBytes(of: UInt64(number).littleEndian) { Array($0) }
  }
}
