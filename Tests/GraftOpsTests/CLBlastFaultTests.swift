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

  /// The library's file is named after its version; one that multiplies wrongly on a device is not used there.
  @Test func aVersionThatIsWrongIsRefusedWhereItIs() throws {
    #if CLBlast
      #expect(CLBlast.version(ofFile: "/usr/lib/x86_64-linux-gnu/libclblast.so.1.5.3") == "1.5.3")
      #expect(CLBlast.version(ofFile: "/opt/lib/libclblast.1.6.2.dylib") == "1.6.2")
      #expect(CLBlast.version(ofFile: "/usr/bin/graft") == nil && CLBlast.version(ofFile: "") == nil)
      #expect(CLBlast.version(ofFile: "libclblast.so.1") == nil)
    #endif
    let device = try Device.select()
    let arc = device.changing { ($0.kind, $0.chip) = (.gpu, "dg2") }.traits
    let other = device.changing { ($0.kind, $0.chip) = (.gpu, "sm_90") }.traits
    #expect(
      MatmulVariant.clblastFault(version: "1.6.2", on: arc)
        == .wrongLibrary(version: "1.6.2", device: arc.name))
    for version in ["1.5.3", "1.6.1", "1.6.3", nil] {
      #expect(MatmulVariant.clblastFault(version: version, on: arc) == nil)
    }
    #expect(MatmulVariant.clblastFault(version: "1.6.2", on: other) == nil)
  }
}
