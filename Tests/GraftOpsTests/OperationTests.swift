import GraftCases
import GraftRuntime
import Testing

/// The device that all operation tests run on, with guard bands and poisoned memory.
enum TestDevice {
  static let context = Result { try Context(Device.select(), checksMemory: true) }
}

@Suite(.serialized) struct OperationTests {
  @Test(arguments: try AllCases.checks(on: TestDevice.context.get().traits))
  func operationAgreesWithFloat64(_ operation: OperationCase) throws {
    let context = try TestDevice.context.get()
    #expect(try operation.verify(on: context) == [])
    #expect(try context.damagedBuffers() == 0)
  }
}
