/// What a device can do and how it wants to be programmed, queried once.
public struct DeviceTraits: Sendable, Hashable, Codable {
  /// The kind of processor.
  public enum Kind: String, Sendable, Codable { case cpu, gpu, accelerator, other }

  /// The device's own name.
  public var name: String
  /// The vendor string.
  public var vendor: String
  /// The platform (driver family) that offers the device.
  public var platform: String
  /// The driver's version.
  public var driverVersion: String
  /// The OpenCL version the device reports.
  public var version: String
  /// The OpenCL C version its compiler reports.
  public var languageVersion: String
  /// The kind of processor.
  public var kind: Kind
  /// Parallel compute units.
  public var computeUnits: Int
  /// Most work-items in a work-group.
  public var maxWorkGroupSize: Int
  /// Most work-items along each dimension of a work-group.
  public var maxWorkItemSizes: [Int]
  /// Local memory that the arrays of a work-group may take, in bytes.
  public var localMemory: Int
  /// Memory of the device, in bytes.
  public var globalMemory: Int
  /// Largest single buffer, in bytes.
  public var maxAllocation: Int
  /// Alignment that a sub-buffer's offset needs, in bytes.
  public var subBufferAlignment: Int
  /// Vector width the device prefers for `float`.
  public var vectorWidth: Int
  /// `half` arithmetic (cl_khr_fp16).
  ///
  /// Storage as half needs no extension.
  public var hasHalf: Bool
  /// Subgroups (cl_khr_subgroups or cl_intel_subgroups).
  public var hasSubgroups: Bool
  /// Items of a subgroup read each other's registers, and its size can be asked for (cl_intel_subgroups and
  /// cl_intel_required_subgroup_size).
  public var hasShuffles = false
  /// The processor's bf16 dot product (AVX512-BF16) can be reached from a kernel, by inline assembly.
  public var hasDotProduct: Bool
  /// What a compiler calls the chip of a GPU, such as `sm_90` or `gfx1100`, where the driver tells.
  public var chip: String? = nil
  /// What multiplies small matrices of bf16, where kernels can reach it.
  public var matrixUnit: MatrixUnit? = nil
  /// Known peculiarities of this driver that Graft works around.
  public var quirks: [Quirk]

  /// A peculiarity of a driver.
  public enum Quirk: String, Sendable, Codable, CaseIterable {
    /// The runtime caches compiled programs itself; a second cache would force a generic build on PoCL
    /// (pyopencl issue 731) and gains nothing on NVIDIA and Mesa.
    case cachesPrograms
    /// LLVM's software rasteriser takes minutes over large private vector arrays.
    case slowPrivateVectors
    /// Oclgrind interprets kernels, thousands of times slower than a device: its peak says nothing and takes hours.
    case interpretsKernels
    /// The driver does not report `CL_FP_FMA`: `fma` may be a function of some hundred instructions, as on llvmpipe, and
    /// kernels use `mad` in its place.
    case reportsNoFusedMultiplyAdd
    /// Profiling events say a nanosecond for every kernel (Rusticl of Mesa 22.3, llvmpipe; no longer in 25.0).
    case timesNoKernels
    /// The driver takes twice the local memory that a kernel's arrays need, and reports as much of a kernel (Rusticl of
    /// Mesa 22.3; no longer in 25.0): only half of it can be used.
    case doublesLocalMemory
    /// llvmpipe leaves the loops of a work-item after 65,535 iterations in all and says nothing: what needs more comes
    /// out wrong (`LP_MAX_TGSI_LOOP_ITERATIONS` in Mesa's source; llama.cpp pull request 13813 met it, too).
    ///
    /// Seen with 22.3.6; with 25.0.7 ten million iterations came to their end. Versions between have not been tried and
    /// are not trusted.
    case endsLongLoops
  }

  /// A CPU runs a work-item loop itself: one wide work-item a group is its natural shape.
  public var isCPU: Bool { kind == .cpu && !quirks.contains(.slowPrivateVectors) }

  /// A CPU with 32 vector registers of 16 floats (AVX-512) rather than 16 of 8 or fewer: what register tiles must fit.
  public var hasWideRegisters: Bool { vectorWidth >= 16 }

  /// Most work-items in a group of one dimension.
  package var largestGroup: Int { max(1, min(maxWorkGroupSize, maxWorkItemSizes.first ?? 1)) }

  /// `name`, with the platform, for people and for keys of caches.
  public var identity: String { "\(platform) / \(name) / \(driverVersion)" }
}
