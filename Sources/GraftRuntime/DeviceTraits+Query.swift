import COpenCL
import GraftSystem

extension DeviceTraits {
  /// The name that a driver gives itself.
  static func platformName(_ platform: cl_platform_id) throws -> String {
    let name = cl_platform_info(CL_PLATFORM_NAME)
    var size = 0
    try openCL("clGetPlatformInfo") { $0 = clGetPlatformInfo(platform, name, 0, nil, &size) }
    var bytes = [UInt8](repeating: 0, count: size)
    try openCL("clGetPlatformInfo") { $0 = clGetPlatformInfo(platform, name, size, &bytes, nil) }
    return string(bytes)
  }

  /// Asks the driver.
  ///
  /// Nothing here is assumed: what cannot be queried is the smallest that OpenCL 1.2 allows.
  init(of device: cl_device_id, on platform: cl_platform_id) throws {
    func text(_ parameter: Int32) throws -> String {
      var size = 0
      try openCL("clGetDeviceInfo") { $0 = clGetDeviceInfo(device, cl_device_info(parameter), 0, nil, &size) }
      var bytes = [UInt8](repeating: 0, count: size)
      try openCL("clGetDeviceInfo") {
        $0 = clGetDeviceInfo(device, cl_device_info(parameter), size, &bytes, nil)
      }
      return string(bytes)
    }
    func number<Value: FixedWidthInteger>(_ parameter: Int32, _ type: Value.Type) throws -> Int {
      var value: Value = 0
      try openCL("clGetDeviceInfo") {
        $0 = clGetDeviceInfo(device, cl_device_info(parameter), MemoryLayout<Value>.size, &value, nil)
      }
      return Int(clamping: value)
    }

    name = try text(CL_DEVICE_NAME)
    vendor = try text(CL_DEVICE_VENDOR)
    self.platform = try Self.platformName(platform)
    driverVersion = try text(CL_DRIVER_VERSION)
    version = try text(CL_DEVICE_VERSION)
    languageVersion = try text(CL_DEVICE_OPENCL_C_VERSION)
    let type = try number(CL_DEVICE_TYPE, cl_device_type.self)
    kind =
      if type & Int(CL_DEVICE_TYPE_CPU) != 0 {
        .cpu
      } else if type & Int(CL_DEVICE_TYPE_GPU) != 0 {
        .gpu
      } else if type & Int(CL_DEVICE_TYPE_ACCELERATOR) != 0 {
        .accelerator
      } else {
        .other
      }
    computeUnits = try number(CL_DEVICE_MAX_COMPUTE_UNITS, cl_uint.self)
    maxWorkGroupSize = try number(CL_DEVICE_MAX_WORK_GROUP_SIZE, Int.self)
    let dimensions = try number(CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS, cl_uint.self)
    var sizes = [Int](repeating: 1, count: dimensions)
    try openCL("clGetDeviceInfo") {
      $0 = clGetDeviceInfo(
        device, cl_device_info(CL_DEVICE_MAX_WORK_ITEM_SIZES), dimensions * MemoryLayout<Int>.size, &sizes,
        nil)
    }
    maxWorkItemSizes = sizes
    localMemory = try number(CL_DEVICE_LOCAL_MEM_SIZE, cl_ulong.self)
    globalMemory = try number(CL_DEVICE_GLOBAL_MEM_SIZE, cl_ulong.self)
    maxAllocation = try number(CL_DEVICE_MAX_MEM_ALLOC_SIZE, cl_ulong.self)
    subBufferAlignment = max(1, try number(CL_DEVICE_MEM_BASE_ADDR_ALIGN, cl_uint.self) / 8)
    vectorWidth = try number(CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, cl_uint.self)
    let extensions = Set(try text(CL_DEVICE_EXTENSIONS).split(separator: " ").map(String.init))
    hasHalf = extensions.contains("cl_khr_fp16")
    hasSubgroups = extensions.contains("cl_khr_subgroups") || extensions.contains("cl_intel_subgroups")
    hasShuffles =
      extensions.contains("cl_intel_subgroups") && extensions.contains("cl_intel_required_subgroup_size")
    chip =
      kind == .gpu
      ? try? Self.chip(name: name, extensions: extensions) { try number($0, cl_uint.self) } : nil
    matrixUnit = MatrixUnit(chip: chip, platform: self.platform, extensions: extensions)

    var quirks = Quirk.known(
      platform: self.platform, vendor: vendor, device: name, driverVersion: driverVersion)
    let arithmetic = try number(CL_DEVICE_SINGLE_FP_CONFIG, cl_device_fp_config.self)
    if arithmetic & Int(CL_FP_FMA) == 0 { quirks.append(.reportsNoFusedMultiplyAdd) }
    if quirks.contains(.doublesLocalMemory) { localMemory /= 2 }
    self.quirks = quirks
    // Only PoCL is known to compile the assembly, for the processor that this program runs on.
    hasDotProduct =
      kind == .cpu && self.platform.contains(Self.pocl) && vectorWidth >= 16
      && processor_has_bfloat_dot_product()
  }
}

private func string(_ bytes: [UInt8]) -> String {
  let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  return String(text.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
}
