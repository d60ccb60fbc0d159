import GraftSystem

/// What a file is by its first bytes that is no safetensors file, and what to do with it.
struct FileSignature {
  let what: String
  let advice: String
  /// What reads it, where something does.
  var container: Container?

  /// Formats of weights beside safetensors.
  enum Container {
    /// A zip archive: of PyTorch, of NumPy, or of anybody.
    case zip
    /// A PyTorch file of before version 1.6.
    case legacyTorch
    /// JSON that says which tensor is in which file.
    case index
  }

  /// Where the signs of the formats stand that people take for weights, and what the signs are; `nil` is any byte.
  private static let signs: [(offset: Int, bytes: [UInt8?], what: String, advice: String)] = [
    (0, ascii("GGUF"), "it is a GGUF file, of llama.cpp", ownFormat),
    (0, [0x89] + ascii("HDF"), "it is an HDF5 file, of Keras or TensorFlow", ownFormat),
    (4, ascii("TFL3"), "it is a TensorFlow Lite file", ownFormat),
    // A SavedModel starts with its schema version, 1, and a graph; ONNX with a higher one and its producer or a graph.
    (0, [0x08, 0x01, 0x12], "it is a SavedModel of TensorFlow", ownFormat),
    (0, [0x08, nil, 0x12], "it is an ONNX file", ownFormat),
    (0, [0x08, nil, 0x3a], "it is an ONNX file", ownFormat),
    (0, [0x93] + ascii("NUMPY"), "it is one array of NumPy's", arrays),
    (0, [0x80, 0x02], pickle, stateDict), (0, [0x80, 0x03], pickle, stateDict),
    (0, [0x80, 0x04], pickle, stateDict), (0, [0x80, 0x05], pickle, stateDict),
    (0, [0x1f, 0x8b], "it is compressed with gzip", unpack),
    (0, ascii("BZh"), "it is compressed with bzip2", unpack),
    (0, [0xfd] + ascii("7zXZ"), "it is compressed with xz", unpack),
    (0, [0x28, 0xb5, 0x2f, 0xfd], "it is compressed with zstd", unpack),
    (0, ascii("7z") + [0xbc, 0xaf], "it is a 7z archive", unpack),
    (
      257, ascii("ustar"), "it is a tar archive",
      "Unpack it, and give the file of weights in it; what PyTorch wrote before 2017, save again with a newer one."
    ),
    (0, [0x89] + ascii("PNG"), picture, notWeights), (0, [0xff, 0xd8, 0xff], picture, notWeights),
    (0, ascii("GIF8"), picture, notWeights), (8, ascii("WEBP"), picture, notWeights),
    (0, ascii("%PDF"), "it is a PDF document", notWeights),
  ]

  /// What a zip archive seems to be by the name of its first entry.
  private static let archives: [(ending: String, what: String, advice: String)] = [
    ("data.pkl", "it is a PyTorch file", safetensorsHere),
    (".npy", "it is an archive of NumPy's (npz)", safetensorsHere),
    ("", "it is a zip archive without weights of PyTorch or NumPy", unpack),
  ]

  /// What a text is by its beginning, in lower case.
  private static let texts: [(beginning: String, what: String, advice: String)] = [
    ("<!doctype html", page, again), ("<html", page, again), ("<?xml", page, again),
    (
      "version https://git-lfs", "it is a Git LFS pointer, not the file itself",
      "Fetch the file with git lfs pull."
    ),
    (
      "{", "it is JSON text",
      "Give the file of weights that belongs to it, NAME.safetensors."
    ),
  ]

  private static let page =
    "it is a web page: the server sent a form or an error in place of the file"
  private static let picture = "it is a picture"
  private static let pickle = "it is a pickle without the marks of PyTorch's files"
  private static let again =
    "Download it again from the file's own address, signed in where that is needed."
  private static let unpack = "Unpack it, and give the file of weights in it."
  private static let safetensorsHere = "Here only a safetensors file will do."
  private static let stateDict =
    "Load it in Python, where you trust it, and save the model's state_dict with torch.save."
  private static let notWeights = "Give a file of weights, NAME.safetensors."
  private static let ownFormat =
    "Give the same model's safetensors file, or save it from the library that it is for with Python's safetensors."
  private static let arrays =
    "Save all of the model's arrays in one file with numpy.savez."

  private static func ascii(_ text: String) -> [UInt8?] { Array(text.utf8) }
}

extension FileSignature {
  /// What the bytes are a file of; `nil` where they may be a safetensors file, or nobody knows.
  init?(of file: UnsafeRawBufferPointer) {
    guard !file.isEmpty else {
      self.init(what: "it is empty", advice: "Download or copy it again.")
      return
    }
    if Self.mayBeSafetensors(file) { return nil }
    if file.starts(with: [0x50, 0x4b, 0x03, 0x04]) {
      let name = Self.firstEntry(file)
      guard let found = Self.archives.first(where: { name.hasSuffix($0.ending) }) else {
        return nil
      }
      self.init(what: found.what, advice: found.advice, container: .zip)
    } else if file.starts(with: TorchFile.legacyMagic) {
      self.init(
        what: "it is a PyTorch file of the old kind", advice: Self.safetensorsHere,
        container: .legacyTorch)
    } else if let found = Self.signs.first(where: { Self.matches(file, $0.bytes, at: $0.offset) }) {
      self.init(what: found.what, advice: found.advice)
    } else {
      self.init(text: file)
    }
  }

  /// Why the file cannot be read as what it was taken for.
  func error(for path: FilePath) -> CheckpointError {
    .notWeights(path: path, reason: what, advice: advice)
  }

  /// What text is; `nil` for what is no text.
  private init?(text file: UnsafeRawBufferPointer) {
    let mark: [UInt8] = [0xef, 0xbb, 0xbf]
    let start = file.dropFirst(file.starts(with: mark) ? mark.count : 0).drop {
      [0x20, 0x09, 0x0a, 0x0d].contains($0)
    }
    let beginning = start.prefix(60)
    guard !beginning.isEmpty,
      beginning.allSatisfy({ $0 >= 0x20 && $0 < 0x7f || (0x09...0x0d).contains($0) })
    else { return nil }
    let text = String(decoding: beginning, as: UTF8.self)
    if start.first == UInt8(ascii: "{"),
      String(decoding: file.prefix(1 << 20), as: UTF8.self).contains("\"weight_map\"")
    {
      self.init(
        what: "it is an index of several files", advice: Self.safetensorsHere, container: .index)
    } else if let known = Self.texts.first(where: { text.lowercased().hasPrefix($0.beginning) }) {
      self.init(what: known.what, advice: known.advice)
    } else {
      let line = text.prefix { !$0.isNewline }
      self.init(
        what: "it is text that begins with \"\(printable(String(line)))\"", advice: Self.again)
    }
  }

  /// A length that the format allows, and a brace behind it: whatever else it looks like, it is read as safetensors.
  private static func mayBeSafetensors(_ file: UnsafeRawBufferPointer) -> Bool {
    guard file.count > 8, file[8] == UInt8(ascii: "{") else { return false }
    return UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
      <= Safetensors.maximumHeaderBytes
  }

  private static func matches(_ file: UnsafeRawBufferPointer, _ bytes: [UInt8?], at offset: Int)
    -> Bool
  {
    file.count >= offset + bytes.count
      && zip(bytes, file[offset...]).allSatisfy { $0 == nil || $0 == $1 }
  }

  /// The name of a zip archive's first entry; its length stands in bytes 26 and 27, itself from byte 30.
  private static func firstEntry(_ file: UnsafeRawBufferPointer) -> String {
    guard file.count >= 30 else { return "" }
    let length = Int(file[26]) | Int(file[27]) << 8
    return String(decoding: file.dropFirst(30).prefix(length), as: UTF8.self)
  }
}
