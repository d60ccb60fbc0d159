// swift-tools-version: 6.1
import Foundation
import PackageDescription

let settings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

// The documentation plug-in is a build-time tool: apps that link Graft never resolve it.
let documentation: [Package.Dependency] =
  ProcessInfo.processInfo.environment["GRAFT_DOCUMENTATION"] == nil
  ? [] : [.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0")]

let package = Package(
  name: "Graft",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Graft", targets: ["Graft"]),
    .library(name: "GraftData", targets: ["GraftData"]),
    .executable(name: "graft", targets: ["GraftCommand"]),
  ],
  traits: [
    .trait(name: "CLBlast", description: "Large matrix products on GPUs through CLBlast."),
    .default(enabledTraits: ["CLBlast"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
  ] + documentation,
  targets: [
    // C: headers, shims and kernel sources. They decide nothing.
    .target(
      name: "COpenCL",
      linkerSettings: [
        .linkedLibrary("OpenCL", .when(platforms: [.linux])),
        .linkedFramework("OpenCL", .when(platforms: [.macOS])),
      ]),
    .target(name: "CCLBlast", dependencies: ["COpenCL"], linkerSettings: [.linkedLibrary("clblast")]),
    .target(name: "GraftKernels", path: "Kernels"),
    .systemLibrary(
      name: "CTurboJPEG", pkgConfig: "libturbojpeg",
      providers: [.apt(["libturbojpeg0-dev"]), .brew(["jpeg-turbo"])]),
    .systemLibrary(
      name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
    .systemLibrary(
      name: "CWebP", pkgConfig: "libwebpdemux",
      providers: [.apt(["libwebp-dev"]), .brew(["webp"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),

    // Swift, from the ground up: imports only go down.
    .target(
      name: "GraftSystem", dependencies: [.product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: settings),
    .target(
      name: "GraftRuntime",
      dependencies: [
        "GraftSystem", "COpenCL", "GraftKernels", .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: settings),
    .target(
      name: "GraftOps",
      dependencies: [
        "GraftSystem", "GraftRuntime", "COpenCL",
        .target(name: "CCLBlast", condition: .when(traits: ["CLBlast"])),
      ], swiftSettings: settings),
    .target(name: "GraftCases", dependencies: ["GraftSystem", "GraftOps"], swiftSettings: settings),
    .target(
      name: "Graft",
      dependencies: [
        "GraftSystem", "GraftOps", "CZlib", .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "GraftData",
      dependencies: [
        "GraftSystem", "Graft", "CTurboJPEG", "CPNG", "CWebP",
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: settings),
    .executableTarget(
      name: "GraftCommand",
      dependencies: [
        "GraftSystem", "Graft", "GraftData", "GraftCases",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: settings),
    // Lists what GPUs would be given, for tools/gpu.
    .executableTarget(
      name: "GPULaunches", dependencies: ["GraftSystem", "GraftOps", "Graft", "GraftCases"],
      swiftSettings: settings),
    .executableTarget(name: "Example", dependencies: ["Graft", "GraftData"], swiftSettings: settings),

    .testTarget(name: "GraftSystemTests", dependencies: ["GraftSystem"], swiftSettings: settings),
    .testTarget(
      name: "GraftRuntimeTests",
      dependencies: ["GraftRuntime", .product(name: "Logging", package: "swift-log")],
      swiftSettings: settings),
    .testTarget(
      name: "GraftOpsTests", dependencies: ["GraftOps", "GraftCases"], swiftSettings: settings),
    .testTarget(
      name: "GraftTests", dependencies: ["Graft", "GraftData"], swiftSettings: settings),
    // Runs the built command as people do.
    .testTarget(name: "GraftCommandTests", dependencies: ["Graft"], swiftSettings: settings),
    .testTarget(name: "GraftDataTests", dependencies: ["GraftData"], swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6]
)
