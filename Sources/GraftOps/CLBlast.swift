#if CLBlast
  import CCLBlast
  import COpenCL
  import GraftRuntime
  import Synchronization

  /// Products by the CLBlast library.
  enum CLBlast {
    /// One call at a time in the whole process: CLBlast fills its table of parameters on first use without a lock.
    ///
    /// Eight threads whose first call it is crashed 1.5.3 (Debian 12) in 2 of 30 processes and 1.6.3 (Debian 13) in 10;
    /// after one call none did. What 1.6.1 mended is another race: up to 1.6.0 the second of two threads that compile the
    /// same program may be refused.
    private static let lock = Mutex(())

    /// The loaded library's version, such as `1.5.3`.
    ///
    /// No call tells it, and all from 1.0 on share a soname, but the file that the soname leads to is named after it. `nil`
    /// where it is not: linked statically, or renamed.
    static let version: String? = {
      withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { path in
        guard let start = path.baseAddress, let file = graft_clblast_file(start) else { return nil }
        return version(ofFile: String(cString: file))
      }
    }()

    /// The version in a file's name: `libclblast.so.1.5.3`, `libclblast.1.6.2.dylib`.
    static func version(ofFile path: String) -> String? {
      let name = path.split(separator: "/").last ?? ""
      let numbers = name.split(separator: ".").filter { $0.allSatisfy(\.isNumber) }
      return numbers.count == 3 ? numbers.joined(separator: ".") : nil
    }

    /// `output (m, n) = a (m, k) * b`, `b` stored (k, n), or (n, k) when transposed.
    static func multiply(
      _ a: Tensor, _ b: Tensor, isTransposed: Bool, rows m: Int, columns n: Int, inner k: Int,
      into output: Tensor
    ) throws {
      guard !a.context.isRehearsal else { return }
      do {
        try a.context.attempt {
          try lock.withLock { _ in
            var queue: cl_command_queue? = a.context.queue.pointer
            try openCL("CLBlastSgemm") {
              // Its codes continue OpenCL's.
              $0 = cl_int(
                truncatingIfNeeded: CLBlastSgemm(
                  CLBlastLayoutRowMajor, CLBlastTransposeNo,
                  isTransposed ? CLBlastTransposeYes : CLBlastTransposeNo, m, n, k, 1,
                  a.buffer.handle.pointer, 0, k, b.buffer.handle.pointer, 0, isTransposed ? k : n, 0,
                  output.buffer.handle.pointer, 0, n, &queue, nil
                ).rawValue)
            }
          }
        }
      } catch RuntimeError.openCL(_, let status) {
        throw MatmulError.clblast(status: Int(status.rawValue))
      }
    }
  }
#endif
