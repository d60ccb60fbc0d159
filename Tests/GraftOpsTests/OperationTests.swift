import GraftCases
import GraftRuntime
import Testing

/// The device that all operation tests run on, with guard bands and poisoned memory.
enum TestDevice {
  static let context = Result { try Context(Device.select(), checksMemory: true) }
}

@Suite(.serialized) struct OperationTests {
  private static func cases(holdingRegisterTiles: Bool) throws -> [OperationCase] {
    let all = try AllCases.checks(on: TestDevice.context.get().traits).filter {
      $0.holdsRegisterTiles == holdingRegisterTiles
    }
    // llvmpipe compiles for minutes what others compile in seconds.
    let step = Runtime.takesAll || Runtime.compilesRegisterTiles ? 1 : 2
    return stride(from: 0, to: all.count, by: step).map { all[$0] }
  }

  @Test(arguments: try cases(holdingRegisterTiles: false))
  func operationAgreesWithFloat64(_ operation: OperationCase) throws { try check(operation) }

  @Test(
    .enabled(if: Runtime.compilesRegisterTiles, Runtime.registerTilesReason),
    arguments: try cases(holdingRegisterTiles: true))
  func registerTilesAgreeWithFloat64(_ operation: OperationCase) throws { try check(operation) }

  private func check(_ operation: OperationCase) throws {
    let context = try TestDevice.context.get()
    #expect(try operation.verify(on: context) == [])
    #expect(try context.damagedBuffers() == 0)
  }
}
