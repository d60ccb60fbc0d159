public import SystemPackage

/// Where a trainer keeps what the frozen blocks below its adapter make of images that come again.
///
/// Blocks below the lowest site of an adapter, all of them for a linear probe, give the same output in every pass over
/// the same pixels: it is computed once. Training goes on to the same bits as without.
public enum FeatureStorage: Sendable, Hashable {
  /// Nowhere: everything is computed in every pass.
  case none
  /// In the process's memory, at most so many bytes.
  case memory(limit: Int)
  /// In files under a folder, at most so many bytes, for later runs on the same device too.
  case folder(FilePath, limit: Int)

  /// In memory, at most 1 GiB.
  public static let standard = FeatureStorage.memory(limit: 1 << 30)
}
