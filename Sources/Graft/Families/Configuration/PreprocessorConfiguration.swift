/// transformers' `preprocessor_config.json`.
struct PreprocessorConfiguration {
  private(set) var options = BackboneOptions()
  /// `nil` for what ``Preprocessing`` cannot say, such as another interpolation.
  private(set) var preprocessing: Preprocessing?
  private(set) var notes: [String] = []

  init(_ entries: [String: JSONValue]) {
    options.origin = .preprocessor
    if entries["do_normalize"]?.boolValue == false {
      options.normalization = .unit
    } else if let mean = entries["image_mean"], let std = entries["image_std"] {
      options.take(.normalization, .object(["mean": mean, "std": std]), &notes)
    }
    preprocessing = Self.preprocessing(entries)
  }

  private static func preprocessing(_ entries: [String: JSONValue]) -> Preprocessing? {
    // Pillow's numbers: 2 is bilinear, 3 bicubic.
    guard entries["do_resize"]?.boolValue != false, let filter = entries["resample"]?.intValue,
      filter == 2 || filter == 3, let size = Size(entries["size"])
    else { return nil }
    let crop = entries["do_center_crop"]?.boolValue == true ? Size(entries["crop_size"]) : nil
    if let fraction = entries["crop_pct"]?.doubleValue {
      // ConvNeXt's: below 384 pixels a crop, above it both sides.
      return size.side < 384
        ? Preprocessing(keepsAspectRatio: true, cropFraction: fraction, isBilinear: filter == 2)
        : Preprocessing(keepsAspectRatio: false, cropFraction: 1, isBilinear: filter == 2)
    }
    return Preprocessing(
      keepsAspectRatio: size.isShortest, crop: crop?.side ?? size.side, resized: size.side,
      isBilinear: filter == 2)
  }

  /// `224`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`.
  private struct Size {
    let side: Int
    let isShortest: Bool

    init?(_ value: JSONValue?) {
      if let side = value?.objectValue?["shortest_edge"]?.intValue {
        (self.side, isShortest) = (side, true)
      } else if let side = value?.intValue ?? value?.objectValue?["height"]?.intValue,
        value?.intValue != nil || value?.objectValue?["width"]?.intValue == side
      {
        (self.side, isShortest) = (side, false)
      } else {
        return nil
      }
    }
  }
}
