import GraftRuntime

/// A chip of a GPU, as its driver describes it, for compilers that know it by this name.
struct Chip {
  let name: String
  let vendor: String
  var computeUnits: Int
  var maxGroup: Int
  /// Local memory of a group, in KiB.
  var localMemory: Int
  var hasSubgroups: Bool
  /// The vendor's own platform.
  var platform: String

  static let all = nvidia + amd + intel

  // NVIDIA's OpenCL has no sub-groups, and offers a group the local memory that needs no consent.
  private static let nvidia = [("sm_70", 80), ("sm_80", 108), ("sm_90", 132), ("sm_120", 170)].map {
    Chip(
      name: $0, vendor: "NVIDIA Corporation", computeUnits: $1, maxGroup: 1024, localMemory: 48,
      hasSubgroups: false, platform: "NVIDIA CUDA")
  }

  private static let amd = [
    ("gfx906", 60), ("gfx90a", 104), ("gfx942", 304), ("gfx1030", 40), ("gfx1100", 48), ("gfx1201", 32),
  ].map {
    Chip(
      name: $0, vendor: "Advanced Micro Devices, Inc.", computeUnits: $1, maxGroup: 256, localMemory: 64,
      hasSubgroups: true, platform: "AMD Accelerated Parallel Processing")
  }

  private static let intel = [("tgllp", 96, 512, 64), ("dg2", 512, 1024, 64), ("pvc", 1024, 1024, 128)].map {
    Chip(
      name: $0, vendor: "Intel(R) Corporation", computeUnits: $1, maxGroup: $2, localMemory: $3,
      hasSubgroups: true, platform: "Intel(R) OpenCL Graphics")
  }

  /// Another device under the chip's traits: what is rehearsed on it is what the chip would be given.
  func standIn(_ device: Device) -> Device {
    device.changing { traits in
      (traits.kind, traits.chip, traits.vendor, traits.name) = (.gpu, name, vendor, name)
      traits.platform = "rehearsal"
      traits.matrixUnit = MatrixUnit(
        chip: name, platform: platform,
        extensions: name == "tgllp" ? [] : ["cl_intel_subgroup_matrix_multiply_accumulate"])
      traits.computeUnits = computeUnits
      (traits.maxWorkGroupSize, traits.maxWorkItemSizes) = (maxGroup, [maxGroup, maxGroup, maxGroup])
      traits.localMemory = localMemory << 10
      (traits.globalMemory, traits.maxAllocation) = (64 << 30, 16 << 30)
      (traits.vectorWidth, traits.hasSubgroups) = (1, hasSubgroups)
      traits.hasShuffles = hasSubgroups && traits.family.isIntel
      (traits.hasDotProduct, traits.quirks) = (false, [])
    }
  }
}
