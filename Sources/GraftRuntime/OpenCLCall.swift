package import COpenCL

/// Runs one OpenCL call: the only way from Swift to the driver, so that every failure is named alike and tests can
/// make any call fail.
///
/// A destructor says `try?`: it has nobody to tell.
@discardableResult
package func openCL<Result>(
  _ function: StaticString, _ call: (inout cl_int) throws -> Result
) throws -> Result {
  let fault = CallWatch.fault(of: function)
  if let fault, !fault.isLate { throw RuntimeError.openCL(function: "\(function)", status: fault.status) }
  var status: cl_int = CL_SUCCESS
  let result = try call(&status)
  if let fault { status = fault.status.rawValue }
  guard status == CL_SUCCESS else {
    throw RuntimeError.openCL(function: "\(function)", status: OpenCLStatus(rawValue: status))
  }
  return result
}
