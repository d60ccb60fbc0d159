@_exported public import SystemPackage

// The platform's C library under its own name: whoever imports this module can call it.
#if canImport(Darwin)
  @_exported public import Darwin
#elseif canImport(Glibc)
  @_exported public import Glibc
#elseif canImport(Musl)
  @_exported public import Musl
#endif
