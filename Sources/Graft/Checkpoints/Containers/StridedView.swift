/// A tensor as a view of elements that lie in a file: at an offset, with a stride a dimension.
struct StridedView {
  let info: TensorInfo
  /// Where the storage lies in the file.
  let place: Range<Int>
  private let offset: Int
  private let strides: [Int]

  /// - Parameters:
  ///   - tensor: Known to lie inside its storage.
  ///   - type: What the storage holds: whole bytes an element.
  ///   - place: Where the storage lies in the file.
  init(_ tensor: TorchPickle.Tensor, type: Safetensors.ElementType, place: Range<Int>) {
    info = TensorInfo(type: type, shape: tensor.shape, count: tensor.count)
    self.place = place
    offset = tensor.offset
    strides = tensor.strides
  }

  private var width: Int { info.type.bits / 8 }

  /// Where the elements lie in the file, where they lie there in one piece and in order; nil elsewhere.
  var whole: Range<Int>? {
    guard info.count > 0 else { return place.lowerBound..<place.lowerBound }
    var expected = 1
    for (size, stride) in zip(info.shape, strides).reversed() where size != 1 {
      guard stride == expected else { return nil }
      expected *= size
    }
    let start = place.lowerBound + offset * width
    return start..<start + info.count * width
  }

  /// The elements in order, from the storage's bytes.
  func copy(of storage: UnsafeRawBufferPointer) -> [UInt8] {
    let total = info.count * width
    return [UInt8](unsafeUninitializedCapacity: total) { buffer, filled in
      let target = UnsafeMutableRawBufferPointer(buffer)
      switch width {
      case 1: copy(UInt8.self, storage, to: target)
      case 2: copy(UInt16.self, storage, to: target)
      case 4: copy(UInt32.self, storage, to: target)
      default: copy(UInt64.self, storage, to: target)
      }
      filled = total
    }
  }

  /// Counts through the indices, the last one fastest, and keeps the place of the current element.
  private func copy<Element: BitwiseCopyable>(
    _ type: Element.Type, _ storage: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer
  ) {
    var index = [Int](repeating: 0, count: info.shape.count)
    var place = offset
    for position in 0..<info.count {
      let element = storage.loadUnaligned(fromByteOffset: place * width, as: Element.self)
      target.storeBytes(of: element, toByteOffset: position * width, as: Element.self)
      for dimension in index.indices.reversed() {
        index[dimension] += 1
        place += strides[dimension]
        guard index[dimension] == info.shape[dimension] else { break }
        index[dimension] = 0
        place -= info.shape[dimension] * strides[dimension]
      }
    }
  }
}
