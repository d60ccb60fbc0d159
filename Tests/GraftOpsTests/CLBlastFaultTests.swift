import GraftRuntime
import Testing

@testable import GraftOps

/// A product that CLBlast refuses is an error of ours, with the meaning of its code.
@Suite(.enabled(if: MatmulVariant.clblast.isAvailable, "built without CLBlast"))
struct CLBlastFaultTests {
  @Test(arguments: [-4, -5, -36, -1011, -2046]) func refusalIsTyped(_ status: Int32) throws {
    let context = try Context(Device.select())
    let layer = try PreparedLinear(
      weight: [1, 2, 3, 4], bias: nil, outputs: 2, inputs: 2, on: context, variant: .clblast)
    let x = try Tensor([1, 1], shape: [1, 2], on: context)
    let watch = CallWatch()
    watch.arm(.init("CLBlastSgemm", occurrence: 1, status: status))
    let error = #expect(throws: (any Error).self) { try watch { try Tape().linear(x, layer) } }
    switch status {
    case -4, -5:
      guard case .outOfMemory = error as? RuntimeError else {
        Issue.record("\(String(describing: error))")
        return
      }
    case -36: #expect((error as? RuntimeError)?.isLoss == true)
    default: #expect(error as? MatmulError == .clblast(status: Int(status)))
    }
  }
}
