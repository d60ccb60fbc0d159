/// Zip archives and pickles written byte by byte, for what no library would write.

/// A member of a zip archive.
struct ZipMember {
  var name: String
  var bytes: [UInt8]
  var method: UInt16 = 0
  var flags: UInt16 = 0
  /// The size that the directory tells; nil for the true one.
  var size: UInt32?
  /// The check sum that the directory tells; nil for the true one.
  var checksum: UInt32?

  /// What lies in the archive: a compressed member is one block of deflate's that copies.
  var packed: [UInt8] {
    guard method == 8 else { return bytes }
    let length = UInt16(bytes.count)
    return [1] + little(length) + little(~length) + bytes
  }
}

/// The little-endian bytes of a number.
func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
  withUnsafeBytes(of: number.littleEndian) { Array($0) }
}

/// A zip archive; with 64-bit records where `isLarge`.
func zipArchive(_ members: [ZipMember], isLarge: Bool = false, comment: String = "") -> [UInt8] {
  var file: [UInt8] = []
  var directory: [UInt8] = []
  for member in members {
    let name = Array(member.name.utf8)
    let size = member.size ?? UInt32(member.bytes.count)
    let sum = member.checksum ?? crc32(member.bytes)
    let extra =
      isLarge
      ? little(UInt16(1)) + little(UInt16(24)) + little(UInt64(size)) + little(UInt64(member.packed.count))
        + little(UInt64(file.count)) : []
    directory += little(UInt32(0x0201_4b50)) + [20, 0, 20, 0] + little(member.flags) + little(member.method)
    directory += [0, 0, 0, 0] + little(sum)
    directory +=
      isLarge ? little(UInt32.max) + little(UInt32.max) : little(UInt32(member.packed.count)) + little(size)
    directory += little(UInt16(name.count)) + little(UInt16(extra.count)) + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    directory += (isLarge ? little(UInt32.max) : little(UInt32(file.count))) + name + extra
    // Sizes are missing in the member's own header, as in files that were streamed.
    file += little(UInt32(0x0403_4b50)) + [20, 0] + little(member.flags | 8) + little(member.method)
    file +=
      [UInt8](repeating: 0, count: 16) + little(UInt16(name.count)) + little(UInt16(3)) + name + [9, 9, 9]
    file += member.packed
  }
  let (start, count) = (file.count, members.count)
  file += directory
  if isLarge {
    let record = file.count
    file +=
      little(UInt32(0x0606_4b50)) + little(UInt64(44)) + [45, 0, 45, 0] + [UInt8](repeating: 0, count: 8)
    file +=
      little(UInt64(count)) + little(UInt64(count)) + little(UInt64(directory.count)) + little(UInt64(start))
    file += little(UInt32(0x0706_4b50)) + little(UInt32(0)) + little(UInt64(record)) + little(UInt32(1))
  }
  file += little(UInt32(0x0605_4b50)) + [0, 0, 0, 0]
  file += isLarge ? [UInt8](repeating: 0xff, count: 12) : little(UInt16(count)) + little(UInt16(count))
  if !isLarge { file += little(UInt32(directory.count)) + little(UInt32(start)) }
  return file + little(UInt16(comment.utf8.count)) + Array(comment.utf8)
}

/// CRC-32, bit by bit.
func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
  var sum = ~UInt32(0)
  for byte in bytes {
    sum ^= UInt32(byte)
    for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
  }
  return ~sum
}

/// Instructions of a pickle.
enum Pickle {
  static func text(_ text: String) -> [UInt8] {
    [UInt8(ascii: "X")] + little(UInt32(text.utf8.count)) + Array(text.utf8)
  }

  static func name(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }

  static func integer(_ value: Int) -> [UInt8] { [0x8a, 8] + little(Int64(value)) }

  static func tuple(_ items: [[UInt8]]) -> [UInt8] {
    [UInt8(ascii: "(")] + items.joined() + [UInt8(ascii: "t")]
  }

  static func call(_ function: [UInt8], _ arguments: [[UInt8]]) -> [UInt8] {
    function + tuple(arguments) + [UInt8(ascii: "R")]
  }

  static func dictionary(_ entries: [(String, [UInt8])]) -> [UInt8] {
    Array("}(".utf8) + entries.flatMap { text($0.0) + $0.1 } + [UInt8(ascii: "u")]
  }

  static func storage(
    _ key: String = "0", type: String = "FloatStorage", count: Int = 4, view: [UInt8]? = nil
  ) -> [UInt8] {
    let items = [text("storage"), name("torch", type), text(key), text("cpu"), integer(count)]
    return tuple(items + (view.map { [$0] } ?? [])) + [UInt8(ascii: "Q")]
  }

  static func tensor(
    _ storage: [UInt8] = storage(), offset: Int = 0, _ shape: [Int] = [4], _ strides: [Int] = [1]
  ) -> [UInt8] {
    call(
      name("torch._utils", "_rebuild_tensor_v2"),
      [
        storage, integer(offset), tuple(shape.map(integer)), tuple(strides.map(integer)), [0x89],
        call(name("collections", "OrderedDict"), []),
      ])
  }

  /// A whole pickle of one value.
  static func whole(_ value: [UInt8], version: UInt8 = 2) -> [UInt8] {
    [0x80, version] + value + [UInt8(ascii: ".")]
  }
}

/// A file of PyTorch's, since 1.6.
func torchArchive(
  _ pickle: [UInt8], storages: [(String, [UInt8])] = [("0", [UInt8](repeating: 0, count: 16))],
  and others: [ZipMember] = []
) -> [UInt8] {
  zipArchive(
    [ZipMember(name: "a/data.pkl", bytes: pickle)] + others
      + storages.map { ZipMember(name: "a/data/\($0.0)", bytes: $0.1) })
}

/// A file of PyTorch's of before 1.6, with its storages as they are listed and as they are written.
func legacyTorch(
  _ value: [UInt8], keys: [String] = ["0"],
  storages: [(count: Int, bytes: [UInt8])] = [(4, [UInt8](repeating: 0, count: 16))],
  isLittle: Bool = true, version: Int = 1001
) -> [UInt8] {
  let magic: [UInt8] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]
  return magic + Pickle.whole(Pickle.integer(version))
    + Pickle.whole(Pickle.dictionary([("little_endian", [isLittle ? 0x88 : 0x89])])) + Pickle.whole(value)
    + Pickle.whole(Array("](".utf8) + keys.flatMap(Pickle.text) + [UInt8(ascii: "e")])
    + storages.flatMap { little(Int64($0.count)) + $0.bytes }
}

/// A file of NumPy's.
func npy(_ header: String, _ data: [UInt8]) -> [UInt8] {
  [0x93] + Array("NUMPY".utf8) + [1, 0] + little(UInt16(header.utf8.count)) + Array(header.utf8) + data
}
