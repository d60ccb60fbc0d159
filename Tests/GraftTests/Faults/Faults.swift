import Foundation
import GraftOps
import GraftRuntime

@testable import Graft

/// Which calls are made to fail, and with what.
enum Faults {
  /// `GRAFT_FAULTS=all` tries every call; by default a few of each name.
  static let tryAll = ProcessInfo.processInfo.environment["GRAFT_FAULTS"] == "all"

  /// For what takes longest.
  static let someAdapters = tryAll ? TinyViT.adapters : ["ila"]

  /// What drivers really answer: no memory early or late, a kernel that went wrong, a device that is gone.
  static func statuses(_ function: String) -> [Int32] {
    switch function {
    case "clCreateBuffer", "clCreateSubBuffer": [-4, -6, -61]
    case "clEnqueueNDRangeKernel": [-4, -5, -54, -36]
    case "clEnqueueWriteBuffer", "clEnqueueFillBuffer", "clEnqueueCopyBuffer": [-4, -5, -36]
    case "clEnqueueReadBuffer": [-5, -36, -4]
    case "clBuildProgram": [-11, -6, -36]
    case "clCreateKernel": [-46, -6]
    case "clWaitForEvents": [-5, -14, -36]
    case "clFlush", "clEnqueueMarkerWithWaitList": [-6, -36]
    case "clCreateContext": [-2, -6]
    case "clGetPlatformIDs": [-1001]
    default: [-5, -6]
    }
  }

  /// Faults for calls that were counted in an undisturbed run.
  ///
  /// - Parameter few: how many of each name by default: the first ones, and the rest spread over the run.
  static func plan(_ calls: [String: Int], few: Int) -> [CallWatch.Fault] {
    calls.sorted { $0.key < $1.key }.flatMap { function, count -> [CallWatch.Fault] in
      let statuses = statuses(function)
      let first = Array(1...min(2, count))
      let spread = stride(from: first.count + 1, through: count, by: max(1, count / max(1, few - 1)))
      let occurrences = tryAll ? Array(1...count) : Array((first + spread).prefix(few))
      return occurrences.map {
        // Another code from call to call, and from name to name.
        CallWatch.Fault(function, occurrence: $0, status: statuses[($0 + function.count) % statuses.count])
      }
    }
  }

  /// Calls whose failure may go unnoticed, as long as the result is right: destructors', questions that can be asked
  /// again, and memory that is there once the pool has been emptied.
  static func canBeSilent(_ function: String) -> Bool {
    function.hasPrefix("clRelease") || function == "clGetEventInfo" || function == "clCreateBuffer"
  }

  /// One of our own errors, with words on what to do.
  static func isTyped(_ error: any Error) -> Bool {
    let isOurs = error is RuntimeError || error is GraftError || error is MatmulError
    let words = ["use ", "try ", "open ", "choose ", "install ", "did not compile", "--batch-size"]
    let text = "\(error)".lowercased()
    return isOurs && words.contains { text.contains($0) }
  }

  static func isLoss(_ error: any Error) -> Bool { (error as? RuntimeError)?.isLoss ?? false }
}
