@_exported public import GraftRuntime

// Devices and contexts are part of what a user of Graft works with.
@_exported public import enum GraftOps.Recomputation
@_exported public import struct SystemPackage.FilePath

/// The library's own facts.
public enum Graft {
  /// The version, as written into adapter folders.
  public static let version = "0.1.0"
}
