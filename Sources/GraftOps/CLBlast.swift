#if CLBlast
  import CCLBlast
  import COpenCL
  import GraftRuntime
  import Synchronization

  /// Products by the CLBlast library.
  enum CLBlast {
    /// CLBlast 1.5.3 (Debian's) reads and fills its caches of programs and parameters from any thread without enough
    /// care (CLBlast issues on thread safety of its cache): one call at a time in the whole process.
    private static let lock = Mutex(())

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
