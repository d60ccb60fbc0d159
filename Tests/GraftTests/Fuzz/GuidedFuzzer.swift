import Foundation

/// libFuzzer, where `tools/fuzz` has linked it in: a case that reaches new code is kept and wounded further.
enum GuidedFuzzer {
  /// What libFuzzer is to read, where it is to run at all.
  static let target = ProcessInfo.processInfo.environment["GRAFT_FUZZ_TARGET"]

  private typealias Case = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
  private typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private typealias Run =
    @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Arguments>, Case) -> Int32

  // A C function holds nothing. Safe: set before libFuzzer starts, which calls from the same thread.
  nonisolated(unsafe) private static var read: ([UInt8]) -> Void = { _ in }

  /// Hands the process over to libFuzzer, which ends it: with status 0, or with the case that it stumbled over in a file.
  ///
  /// - Parameters:
  ///   - seeds: good inputs, put into the folder of cases.
  ///   - words: what libFuzzer may strew in.
  ///   - read: ends the process where a case is not treated as it should be.
  static func run(_ seeds: [[UInt8]], words: [[UInt8]], _ read: @escaping ([UInt8]) -> Void) throws -> Never {
    let environment = ProcessInfo.processInfo.environment
    guard let address = dlsym(nil, "LLVMFuzzerRunDriver"), let folder = environment["GRAFT_FUZZ_FOLDER"]
    else {
      fatalError("libFuzzer is not linked in: use tools/fuzz")
    }
    let place = URL(fileURLWithPath: folder, isDirectory: true)
    let cases = place.appendingPathComponent("cases", isDirectory: true)
    try FileManager.default.createDirectory(at: cases, withIntermediateDirectories: true)
    for (number, seed) in seeds.enumerated() {
      try Data(seed).write(to: cases.appendingPathComponent("seed-\(number)"))
    }
    let dictionary = words.filter { 1...64 ~= $0.count }.map { word in
      "\"" + word.map { "\\x" + String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() + "\"\n"
    }
    try Data(dictionary.joined().utf8).write(to: place.appendingPathComponent("words"))

    Self.read = read
    let options = environment["GRAFT_FUZZ_OPTIONS"]?.split(separator: " ").map(String.init) ?? []
    let words =
      ["graft", "-dict=\(folder)/words", "-artifact_prefix=\(folder)/"] + options + [cases.path]
    var arguments = Arguments.allocate(capacity: words.count + 1)
    for (index, word) in words.enumerated() { arguments[index] = strdup(word) }
    arguments[words.count] = nil
    var count = Int32(words.count)
    // libFuzzer leaves by exit(), during which the driver's threads would still run: the files are written by then.
    atexit { _exit(0) }
    let status = unsafeBitCast(address, to: Run.self)(&count, &arguments) { bytes, count in
      GuidedFuzzer.read(Array(UnsafeBufferPointer(start: bytes, count: count)))
      return 0
    }
    exit(status)
  }
}
