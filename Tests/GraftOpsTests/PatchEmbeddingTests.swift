import GraftOps
import Testing

@Suite(.serialized) struct PatchEmbeddingTests {
  @Test func anUnevenImageSaysWhichSizesFit() throws {
    let images = try Tensor(
      [Float](repeating: 0, count: 3 * 30 * 32), shape: [1, 3, 30, 32], on: TestDevice.context.get())
    #expect(throws: OperationError.unevenPatches(height: 30, width: 32, patch: 16, fitting: [16, 32])) {
      try Patches.extract(normalized: images, patch: 16)
    }
    #expect(
      "\(OperationError.unevenPatches(height: 30, width: 32, patch: 16, fitting: [16, 32]))".contains(
        "16, 32"))
  }
}
