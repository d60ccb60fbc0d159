import Testing

@testable import GraftRuntime

/// Macros that are left out because they have their default must have it in every source.
@Suite struct KernelDefaultsTests {
  @Test func everySourceHasTheSameDefaults() throws {
    var found: Set<String> = []
    for name in KernelLibrary.companions + ["attention", "batch_norm", "common", "depthwise_conv", "matmul"] {
      let lines = try #require(kernelSource(name), "\(name)").split(separator: "\n")
      for (test, definition) in zip(lines, lines.dropFirst()) where test.hasPrefix("#ifndef ") {
        let words = definition.split(separator: " ").map(String.init)
        guard words.count == 3, words[0] == "#define", let value = KernelLibrary.defaults[words[1]] else {
          continue
        }
        #expect(words[2] == value, "\(words[1]) in \(name).cl")
        found.insert(words[1])
      }
    }
    #expect(found == Set(KernelLibrary.defaults.keys), "each stands in a source")
  }
}
