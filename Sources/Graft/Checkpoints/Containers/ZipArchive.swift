import GraftSystem

/// The directory of a zip archive, read from bytes that are hostile until checked.
///
/// A library would hand out copies; here members that are stored as they are stay slices of the mapped file, so that
/// weights of gigabytes are not read twice. Sizes come from the directory at the end alone (ZIP64's too), because writers
/// that stream leave them out of the headers before each member.
struct ZipArchive {
  /// One file in the archive.
  struct Member {
    /// How it is compressed, see ``ZipArchive/stored`` and ``ZipArchive/deflated``.
    let method: UInt16
    /// CRC-32 of what it unpacks to.
    let checksum: UInt32
    /// Bytes of what it unpacks to.
    let size: Int
    /// Where its bytes lie in the file, as they are there.
    let place: Range<Int>
  }

  /// The method of members that are not compressed.
  static let stored: UInt16 = 0
  /// The method that zlib undoes.
  static let deflated: UInt16 = 8

  /// The members by name; those that are folders left out.
  private(set) var members: [String: Member] = [:]

  private let path: FilePath

  /// Most members of an archive: a state dict has fewer than its file's tensors, and some small ones beside them.
  private static let maximumMembers = 2 * Safetensors.maximumTensors
  /// What compressed members may grow to, all together: weights hardly shrink, and a bomb grows a thousandfold.
  private static func mostUnpacked(of bytes: Int) -> Int { max(16 << 20, bytes * 64) }

  /// Reads the directory and checks it against the file.
  ///
  /// - Throws: ``CheckpointError``: malformed, encrypted, or unpacking to much more than weights do.
  init(_ bytes: UnsafeRawBufferPointer, path: FilePath) throws(CheckpointError) {
    self.path = path
    let directory = try Self.directory(of: bytes, path)
    var position = directory.place.lowerBound
    for _ in 0..<directory.count {
      let entry = try Entry(bytes, at: position, before: directory.place.upperBound, path)
      position = entry.end
      guard !entry.name.hasSuffix("/") else { continue }
      let start = try Self.start(of: entry, bytes, path)
      guard entry.packedSize <= directory.place.lowerBound - start else {
        throw Self.fault("member \(printable(entry.name)) reaches into the directory", path)
      }
      guard entry.method != Self.stored || entry.packedSize == entry.size else {
        throw Self.fault("member \(printable(entry.name)) is not compressed and has two sizes", path)
      }
      let member = Member(
        method: entry.method, checksum: entry.checksum, size: entry.size,
        place: start..<start + entry.packedSize)
      guard members.updateValue(member, forKey: entry.name) == nil else {
        throw Self.fault("member \(printable(entry.name)) is there twice", path)
      }
    }
    try checkPlaces(fileBytes: bytes.count)
  }

  /// Members apart from each other: bombs repeat one in another.
  private func checkPlaces(fileBytes: Int) throws(CheckpointError) {
    var end = 0
    var unpacked = 0
    for (name, member) in members.sorted(by: { $0.value.place.lowerBound < $1.value.place.lowerBound })
    where !member.place.isEmpty {
      guard member.place.lowerBound >= end else {
        throw Self.fault("member \(printable(name)) overlaps another one", path)
      }
      end = member.place.upperBound
      guard member.method != Self.stored else { continue }
      let (sum, overflow) = unpacked.addingReportingOverflow(member.size)
      guard !overflow, sum <= Self.mostUnpacked(of: fileBytes) else {
        throw .notWeights(
          path: path, reason: "it would unpack to far more than a file of weights does",
          advice: "Unpack it, and pack it again without compression.")
      }
      unpacked = sum
    }
  }

  static func fault(_ detail: String, _ path: FilePath) -> CheckpointError {
    .malformedFile(path: path, detail: "as a zip archive, \(detail)")
  }
}

// MARK: Records

extension ZipArchive {
  /// What the directory says about one member.
  private struct Entry {
    let name: String
    let method: UInt16
    let checksum: UInt32
    let packedSize: Int
    let size: Int
    let headerOffset: Int
    /// Where the next entry begins.
    let end: Int

    init(_ bytes: UnsafeRawBufferPointer, at start: Int, before limit: Int, _ path: FilePath)
      throws(CheckpointError)
    {
      guard let record = bytes.slice(at: start, count: 46), record.number(UInt32.self, at: 0) == 0x0201_4b50,
        let flags = record.number(UInt16.self, at: 8), let method = record.number(UInt16.self, at: 10),
        let checksum = record.number(UInt32.self, at: 16), let lengths = Self.lengths(record),
        start + 46 + lengths.name + lengths.extra + lengths.comment <= limit,
        let nameBytes = bytes.slice(at: start + 46, count: lengths.name),
        let extra = bytes.slice(at: start + 46 + lengths.name, count: lengths.extra)
      else { throw ZipArchive.fault("its directory ends early", path) }
      guard let name = String(validating: nameBytes, as: UTF8.self), Self.isInside(name) else {
        throw ZipArchive.fault(
          "a member's name, \(printable(String(decoding: nameBytes, as: UTF8.self))), is none of a file in it",
          path)
      }
      guard flags & 1 == 0 else {
        throw .notWeights(path: path, reason: "it is an encrypted zip archive", advice: "Unpack it first.")
      }
      guard let sizes = Self.sizes(record, extra) else {
        throw ZipArchive.fault("the sizes of member \(printable(name)) are missing", path)
      }
      (self.name, self.method, self.checksum) = (name, method, checksum)
      (size, packedSize, headerOffset) = sizes
      end = start + 46 + lengths.name + lengths.extra + lengths.comment
    }

    private static func lengths(_ record: UnsafeRawBufferPointer) -> (name: Int, extra: Int, comment: Int)? {
      guard let name = record.number(UInt16.self, at: 28), let extra = record.number(UInt16.self, at: 30),
        let comment = record.number(UInt16.self, at: 32)
      else { return nil }
      return (Int(name), Int(extra), Int(comment))
    }

    /// Sizes and the place; those that do not fit 32 bits stand in an extra field, in this order.
    private static func sizes(_ record: UnsafeRawBufferPointer, _ extra: UnsafeRawBufferPointer) -> (
      size: Int, packedSize: Int, headerOffset: Int
    )? {
      var large = extra.field(1) ?? UnsafeRawBufferPointer(start: nil, count: 0)
      var values: [Int] = []
      for offset in [24, 20, 42] {
        guard let small = record.number(UInt32.self, at: offset) else { return nil }
        if small != .max {
          values.append(Int(small))
        } else {
          guard let value = large.number(UInt64.self, at: 0).flatMap({ Int(exactly: $0) }) else { return nil }
          values.append(value)
          large = UnsafeRawBufferPointer(rebasing: large.dropFirst(8))
        }
      }
      return (values[0], values[1], values[2])
    }

    /// Whether a name stays inside the folder that somebody may unpack it into.
    private static func isInside(_ name: String) -> Bool {
      !name.isEmpty && !name.hasPrefix("/") && !name.contains("\\") && !name.contains("\0")
        && !name.split(separator: "/").contains("..")
    }
  }

  /// Where a member's bytes begin: behind its own header, whose name and extra field may differ from the directory's.
  private static func start(of entry: Entry, _ bytes: UnsafeRawBufferPointer, _ path: FilePath)
    throws(CheckpointError) -> Int
  {
    guard let header = bytes.slice(at: entry.headerOffset, count: 30),
      header.number(UInt32.self, at: 0) == 0x0403_4b50, let name = header.number(UInt16.self, at: 26),
      let extra = header.number(UInt16.self, at: 28),
      bytes.slice(at: entry.headerOffset, count: 30 + Int(name) + Int(extra)) != nil
    else { throw fault("member \(printable(entry.name)) is not where the directory says", path) }
    return entry.headerOffset + 30 + Int(name) + Int(extra)
  }

  /// Where the directory lies and how many entries it has, by the record at the end of the file.
  private static func directory(of bytes: UnsafeRawBufferPointer, _ path: FilePath) throws(CheckpointError)
    -> (place: Range<Int>, count: Int)
  {
    guard let end = endRecord(of: bytes), let small = record(bytes, at: end) else {
      throw .malformedFile(
        path: path, detail: "it begins as a zip archive and has no directory at its end: it was cut off")
    }
    let found = try largeRecord(of: bytes, before: end, path) ?? small
    guard found.count <= maximumMembers else {
      throw fault("it has more than \(maximumMembers) members", path)
    }
    guard found.offset <= end, found.size <= end - found.offset else {
      throw fault("its directory is not where it should be", path)
    }
    return (found.offset..<found.offset + found.size, found.count)
  }

  /// Where the last record begins; a comment of up to 64 kB may stand behind it.
  private static func endRecord(of bytes: UnsafeRawBufferPointer) -> Int? {
    guard bytes.count >= 22 else { return nil }
    let last = bytes.count - 22
    return (max(0, last - 0xffff)...last).reversed().first { offset in
      bytes[offset] == 0x50 && bytes.number(UInt32.self, at: offset) == 0x0605_4b50
        && bytes.number(UInt16.self, at: offset + 20).map(Int.init) == last - offset
    }
  }

  private static func record(_ bytes: UnsafeRawBufferPointer, at end: Int) -> (
    count: Int, size: Int, offset: Int
  )? {
    guard let count = bytes.number(UInt16.self, at: end + 10),
      let size = bytes.number(UInt32.self, at: end + 12), let offset = bytes.number(UInt32.self, at: end + 16)
    else { return nil }
    return (Int(count), Int(size), Int(offset))
  }

  /// ZIP64's record, where a pointer to it stands before the last record.
  private static func largeRecord(of bytes: UnsafeRawBufferPointer, before end: Int, _ path: FilePath)
    throws(CheckpointError) -> (count: Int, size: Int, offset: Int)?
  {
    guard bytes.number(UInt32.self, at: end - 20) == 0x0706_4b50 else { return nil }
    func large(_ offset: Int) -> Int? { bytes.number(UInt64.self, at: offset).flatMap { Int(exactly: $0) } }
    guard let start = large(end - 20 + 8), start <= end - 20 - 56,
      bytes.number(UInt32.self, at: start) == 0x0606_4b50, let count = large(start + 32),
      let size = large(start + 40), let offset = large(start + 48)
    else { throw fault("its 64-bit directory is not where it should be", path) }
    return (count, size, offset)
  }
}

extension UnsafeRawBufferPointer {
  /// The contents of an extra field of a zip archive's entry, which are tagged and counted.
  fileprivate func field(_ tag: UInt16) -> UnsafeRawBufferPointer? {
    var position = 0
    while let found = number(UInt16.self, at: position), let length = number(UInt16.self, at: position + 2),
      let contents = slice(at: position + 4, count: Int(length))
    {
      if found == tag { return contents }
      position += 4 + Int(length)
    }
    return nil
  }
}
