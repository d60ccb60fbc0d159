import Foundation
import GraftSystem
import Testing

@testable import GraftRuntime

/// Kernels are found, compiled, remembered, and explained when they do not compile.
@Suite struct ProgramTests {
  @Test func compilersLogIsInTheError() throws {
    let context = try Context(Device.select())
    // The kernel's own name becomes a number: nothing compiles.
    let broken = KernelKey("elementwise", "add", ["add": 7])
    let error = #expect(throws: RuntimeError.self) { try context.maxGroup(of: broken) }
    guard case .buildFailed("elementwise", let options, let device, let log) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(options.contains("-Dadd=7") && device == context.traits.name)
    #expect(log.contains("CL_BUILD_PROGRAM_FAILURE") && log.contains("error"))
    // A failed build leaves the library usable.
    #expect(try context.maxGroup(of: KernelKey("elementwise", "add")) >= 1)
  }

  @Test(arguments: [("nothing", "add"), ("elementwise", "nothing")])
  func unknownKernelIsNamed(_ file: String, _ function: String) throws {
    let context = try Context(Device.select())
    let error = #expect(throws: RuntimeError.self) { try context.maxGroup(of: KernelKey(file, function)) }
    let text = "\(try #require(error))"
    #expect(text.contains("nothing") || text.contains("CL_INVALID_KERNEL_NAME"))
  }

  /// PoCL's own header takes longer to read than a kernel to compile.
  @Test(arguments: ["", "-DSTORAGE=2", "-DSTORAGE=1 -DPAIRED=1", "-DLANES=8 -DVEC=1", "-DVEC=8"])
  func declarationsAreAllThatKernelsUse(_ options: String) throws {
    let device = try Device.select()
    guard device.traits.platform.contains("Portable Computing Language") else { return }
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
      "../../Kernels")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
      $0.hasSuffix(".cl")
    }
    let names = files.map { String($0.dropLast(3)) }.filter { $0 != "common" && $0 != "declarations" }
    #expect(names.count > 20)
    for name in names {
      let source = try #require(kernelSource("common")) + #require(kernelSource(name))
      // A context of its own: one that has needed the header is not asked again.
      let handle = try Context(device).kernels.buildWithoutHeader(
        source, name: name, options: "-cl-std=CL1.2 -w " + options)
      #expect(handle != nil, "\(name) \(options)")
    }
  }

  @Test func whatIsNotDeclaredNeedsTheHeader() throws {
    let context = try Context(Device.select())
    func build(_ text: String) throws -> Handle? {
      try context.kernels.buildWithoutHeader(text, name: "test", options: "-w")
    }
    #expect(try build("kernel void f(global float *x) { x[0] = cos(x[0]); }") == nil)
    #expect(
      try build("kernel void f(global float *x) { x[0] = sqrt(x[0]); }") == nil, "it is not tried again")
    #expect(try context.maxGroup(of: KernelKey("elementwise", "add")) >= 1)
  }

  /// An address may come again for other memory, so memory is told apart by more than that.
  @Test func argumentsAreSetWhenTheyChange() throws {
    let watch = CallWatch()
    try watch {
      let context = try Context(Device.select())
      let buffers = try (0..<2).map { _ in try context.buffer(byteCount: 4096) }
      for buffer in buffers { try context.fill(buffer, with: Float(1).bitPattern, byteCount: 4096) }
      func add(_ a: Buffer, _ b: Buffer, _ count: Int) throws -> Int? {
        watch.arm()
        try context.run(.init("elementwise", "add"), over: [1], group: [1], a, b, b, count, 1024)
        return watch.calls["clSetKernelArg"]
      }
      #expect(try add(buffers[0], buffers[1], 1024) == 5)
      #expect(try add(buffers[0], buffers[1], 1024) == nil)
      #expect(try add(buffers[0], buffers[1], 512) == 1)
      #expect(try add(buffers[1], buffers[0], 512) == 3)
      var sum = [Float](repeating: 0, count: 1024)
      try sum.withUnsafeMutableBytes { try context.read(buffers[0], into: $0) }
      #expect(sum[0] == 5 && sum[511] == 5 && sum[512] == 1)
      // A refused argument is not taken for set.
      watch.arm(.init("clSetKernelArg", occurrence: 1, status: -5))
      _ = try? context.run(
        .init("elementwise", "add"), over: [1], group: [1], buffers[1], buffers[0], buffers[0], 7, 1024)
      context.forgetLoss()
      #expect(try add(buffers[1], buffers[0], 7) == 1)
      // Memory that is made and released again and again.
      for round in 1...50 {
        try context.fill(buffers[0], with: Float(round).bitPattern, byteCount: 4096)
        let slice = try buffers[0].slice(at: 0, byteCount: 4096)
        try context.run(
          .init("elementwise", "scale"), over: [1], group: [1], slice, slice, Float(2), 1024, 1024)
        try sum.withUnsafeMutableBytes { try context.read(buffers[0], into: $0) }
        #expect(Set(sum) == [2 * Float(round)])
      }
    }
  }

  @Test func profilerCountsLaunches() throws {
    let context = try Context(Device.select())
    let buffer = try context.buffer(byteCount: 4096)
    try context.fill(buffer, with: 0, byteCount: 4096)
    let add = {
      try context.run(.init("elementwise", "add"), over: [1], group: [1], buffer, buffer, buffer, 1024, 1024)
    }
    try add()
    let entries = try context.profile { for _ in 0..<3 { try add() } }
    #expect(entries.map(\.kernel) == ["add"] && entries.first?.launches == 3)
    #expect((entries.first?.seconds ?? -1) >= 0)
  }

  @Test func guardBandsSeeAWriteBehindTheEnd() throws {
    let context = try Context(Device.select(), checksMemory: true)
    let buffer = try context.buffer(byteCount: 64)
    let other = try context.buffer(byteCount: 128)
    try context.fill(other, with: 0, byteCount: 128)
    #expect(try context.readLater(buffer, byteCount: 64).floats(16).allSatisfy(\.isNaN), "poisoned first")
    try context.run(.init("elementwise", "add"), over: [1], group: [1], other, other, buffer, 16, 16)
    #expect(try context.damagedBuffers() == 0)
    let watched = try context.buffer(byteCount: 64)
    try context.run(.init("elementwise", "add"), over: [1], group: [1], other, other, watched, 17, 17)
    #expect(try context.damagedBuffers() == 1)
  }
}

/// The cache of compiled programs never decides whether something works.
@Suite struct ProgramCacheTests {
  private let source = "__kernel void one(__global float *x) { x[0] = VALUE; }"

  /// Asks the cache for the program; says how often it had to be built.
  private func builds(
    _ cache: ProgramCache, _ context: Context, source: String? = nil, options: String = "-DVALUE=1.0f"
  ) throws -> Int {
    var builds = 0
    let text = source ?? self.source
    _ = try cache.program(source: text, options: options, context: context.handle, device: context.device) {
      builds += 1
      return try KernelLibrary(context: context.handle, device: context.device)
        .build(text, name: "test", options: options)
    }
    return builds
  }

  private func withFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("graft-\(UUID())")
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
  }

  @Test func buildsOnceForASourceAndItsOptions() throws {
    let context = try Context(Device.select())
    try withFolder { folder in
      let cache = ProgramCache(folder: FilePath(folder.path))
      #expect(try builds(cache, context) == 1)
      #expect(try builds(cache, context) == 0)
      #expect(try builds(ProgramCache(folder: FilePath(folder.path)), context) == 0)
      #expect(try builds(cache, context, options: "-DVALUE=2.0f") == 1)
      #expect(try builds(cache, context, source: source + "\n") == 1)
      let mode = try FileManager.default.attributesOfItem(atPath: folder.path)[.posixPermissions] as? Int
      #expect(mode == 0o700, "a cached binary is code")
    }
  }

  @Test func damagedFilesAreBuiltAnew() throws {
    let context = try Context(Device.select())
    try withFolder { folder in
      let cache = ProgramCache(folder: FilePath(folder.path))
      #expect(try builds(cache, context) == 1)
      let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      let file = folder.appendingPathComponent(try #require(names.first))
      let whole = try Data(contentsOf: file)
      // Another key, cut inside the key, no binary at all.
      for damaged in [Data("x".utf8) + whole.dropFirst(), whole.prefix(20), Data()] {
        try damaged.write(to: file)
        #expect(try builds(cache, context) == 1)
        #expect(try builds(cache, context) == 0, "the good file is back")
      }
    }
  }

  /// What fails on the way to the cache or back costs a build and nothing else.
  @Test(arguments: [
    ("clCreateProgramWithBinary", -42, 1, 0), ("clBuildProgram", -5, 1, 0), ("clGetProgramInfo", -6, 0, 1),
  ])
  func failuresFallBackToTheSource(_ function: String, _ status: Int, _ now: Int, _ next: Int) throws {
    let watch = CallWatch()
    try watch {
      let context = try Context(Device.select())
      try withFolder { folder in
        let cache = ProgramCache(folder: FilePath(folder.path))
        let first = next == 0 ? try builds(cache, context) : 1
        watch.arm(.init(function, occurrence: 1, status: Int32(status)))
        let second = try builds(cache, context)
        #expect(watch.hasFired && [first, second] == [1, max(now, next)])
        let third = try builds(cache, context)
        #expect(third == next)
      }
    }
    #expect(watch.live == [:])
  }

  @Test func worksWithoutAFolder() throws {
    let context = try Context(Device.select())
    #expect(try builds(ProgramCache(folder: nil), context) == 1)
    #expect(try builds(ProgramCache(folder: "/dev/null/cache"), context) == 1)
  }
}
