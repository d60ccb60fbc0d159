extension DeviceTraits {
  /// What PoCL's platform is called.
  static let pocl = "Portable Computing Language"
}

extension DeviceTraits.Quirk {
  /// The peculiarities known of a driver by its names, of those versions that have been seen to have them.
  static func known(
    platform: String, vendor: String, device: String, driverVersion: String
  ) -> [Self] {
    let isRusticl = platform.lowercased().contains("rusticl")
    // Of "25.0.7-2+deb13u1" 25; what names no version is taken for old.
    let mesa = Int(driverVersion.prefix { $0.isNumber }) ?? 0
    var quirks: [Self] = []
    if isRusticl || platform.contains(DeviceTraits.pocl) || vendor.contains("NVIDIA") {
      quirks.append(.cachesPrograms)
    }
    if isRusticl { quirks.append(.slowPrivateVectors) }
    if device.contains("llvmpipe"), mesa < 25 { quirks.append(.endsLongLoops) }
    if isRusticl, mesa < 23 { quirks.append(.timesNoKernels) }
    if isRusticl, mesa < 25 { quirks.append(.doublesLocalMemory) }
    if platform.contains("Oclgrind") { quirks.append(.interpretsKernels) }
    return quirks
  }
}
