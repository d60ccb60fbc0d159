import Foundation
import Graft
import GraftSystem
import Synchronization
import Testing

@testable import GraftData

@Suite struct ImageFolderTests {
  let transform = ImageTransform.squash(imageSize: 8)

  private func filled(_ names: [String]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in names { try folder.write(Fixtures.bytes("rgb.png"), to: name) }
    return folder
  }

  @Test("finds what torchvision's ImageFolder finds, in its order")
  func listing() throws {
    let folder = try filled([
      "b/2.PNG", "b/10.jpg", "b/deep/er/x.JpEg", "b/deep-1/y.png", "a/z.png", "B/é.png", "B/f.WebP",
      ".hidden/a.png", "a/.hidden.png", "a/notes.txt", "stray.png",
    ])
    let images = try ImageFolder(folder.path, transform: transform)
    #expect(images.classNames == ["B", "a", "b"])
    #expect(
      images.samples.map { $0.path.string.dropFirst(folder.path.string.count + 1) } == [
        "B/f.WebP", "B/é.png", "a/z.png", "b/10.jpg", "b/2.PNG", "b/deep-1/y.png", "b/deep/er/x.JpEg",
      ])
    #expect(images.samples.map(\.label) == [0, 0, 1, 2, 2, 2, 2])
    #expect(images.count == 7)
  }

  @Test("its fingerprint moves with the folder and changes with a picture")
  func fingerprint() throws {
    let names = ["a/1.png", "a/2.png", "b/3.png"]
    func fingerprint(_ folder: TemporaryFolder) throws -> String {
      try ImageFolder(folder.path, transform: transform).fingerprint
    }
    let original = try fingerprint(filled(names))
    #expect(try fingerprint(filled(names)) == original)
    let longer = try filled(names)
    try longer.write(Fixtures.bytes("rgb.png") + [0], to: "a/2.png")
    #expect(try fingerprint(longer) != original)
    #expect(try fingerprint(filled(["a/1.png", "a/4.png", "b/3.png"])) != original)
    #expect(try fingerprint(filled(["a/1.png", "b/2.png", "b/3.png"])) != original)
  }

  @Test("follows links, but not in circles")
  func links() throws {
    let folder = try filled(["a/1.png", "b/1.png", "elsewhere/more/2.png"])
    let manager = FileManager.default
    try manager.createSymbolicLink(
      atPath: (folder.path / "a/loop").string, withDestinationPath: folder.path.string)
    try manager.createSymbolicLink(
      atPath: (folder.path / "a/self").string, withDestinationPath: (folder.path / "a").string)
    try manager.createSymbolicLink(
      atPath: (folder.path / "b/link").string, withDestinationPath: (folder.path / "elsewhere/more").string)
    let images = try ImageFolder(folder.path, transform: transform)
    #expect(images.samples.map(\.label) == [0, 1, 1, 2])
  }

  @Test("bad folders get errors that name them")
  func badFolders() throws {
    let folder = try TemporaryFolder()
    let path = folder.path
    #expect(throws: DataError.missingFolder(path / "none")) {
      try ImageFolder(path / "none", transform: transform)
    }
    #expect(throws: DataError.emptyFolder(path)) { try ImageFolder(path, transform: transform) }
    try folder.write(Fixtures.bytes("rgb.png"), to: "a/1.png")
    #expect(throws: DataError.oneClass(source: path.string, name: "a")) {
      try ImageFolder(path, transform: transform)
    }
    try folder.makeFolder("b")
    #expect(throws: DataError.emptyClass(path / "b", leftOut: [:])) {
      try ImageFolder(path, transform: transform)
    }
    #expect(throws: DataError.missingFolder(path / "a/1.png")) {
      try ImageFolder(path / "a/1.png", transform: transform)
    }
  }

  @Test("classes that differ are named")
  func classes() throws {
    let train = try filled(["a/1.png", "b/1.png", "c/1.png"])
    let val = try filled(["a/1.png", "c/1.png", "d/1.png"])
    let one = try ImageFolder(train.path, transform: transform)
    let two = try ImageFolder(val.path, transform: transform)
    #expect(throws: Never.self) { try checkSameClasses(train: one, val: one) }
    let error = DataError.classesDiffer(onlyInTraining: ["b"], onlyInValidation: ["d"])
    #expect(throws: error) { try checkSameClasses(train: one, val: two) }
    #expect(error.description.contains("Only in training: 'b'. Only in validation: 'd'."))

    let pixels = try RGBImage(width: 1, height: 1, pixels: [1, 2, 3])
    let turned = try InMemoryImages(
      [pixels], labels: [0], classNames: ["c", "b", "a"], transform: transform)
    #expect(throws: Never.self, "labels are matched by name") {
      try checkSameClasses(train: one, val: turned)
    }
  }

  @Test("evaluation keeps the order and the last incomplete batch", arguments: [1, 3, 4, 7, 100])
  func evaluation(_ batchSize: Int) async throws {
    let files = Fixtures.cases.decode.prefix(7)
    let folder = try TemporaryFolder()
    for (index, file) in files.enumerated() {
      try folder.write(Fixtures.bytes(file.file), to: "\(index % 2)/\(index).png")
    }
    let images = try ImageFolder(folder.path, transform: transform)
    let batches = try await collect(
      images.batches(epoch: 0, batchSize: batchSize, imageSize: 8, seed: 1, training: false))
    #expect(batches.map(\.count) == stride(from: 0, to: 7, by: batchSize).map { min(batchSize, 7 - $0) })
    #expect(batches.flatMap(\.labels) == images.samples.map(\.label))
    let expected = try images.samples.flatMap { try loadImage($0.path, transform: transform, imageSize: 8) }
    #expect(batches.flatMap(\.pixels) == expected)
  }

  @Test("a broken picture ends the pass with its name")
  func refuse() async throws {
    let folder = try filled(["a/1.png", "a/2.png", "b/1.png"])
    try folder.write(Array(Fixtures.bytes("rgb.jpg").prefix(500)), to: "a/3.jpg")
    let images = try ImageFolder(folder.path, transform: transform)
    for training in [false, true] {
      let error = await #expect(throws: DataError.self) {
        try await collect(
          images.batches(epoch: 0, batchSize: 4, imageSize: 8, seed: 1, training: training))
      }
      #expect(error?.description.contains("/a/3.jpg cannot be decoded") == true)
    }
  }

  @Test("a broken picture is skipped in all passes and reported once", arguments: [1, 3])
  func skip(_ workers: Int) async throws {
    let folder = try filled(["a/1.png", "a/2.png", "b/1.png", "b/9.png"])
    try folder.write([], to: "a/3.jpg")
    try folder.write(Array("hello".utf8), to: "b/4.png")
    let reports = Reports()
    let images = try ImageFolder(
      folder.path, transform: transform, onBrokenImage: .skip { reports.add($0) },
      options: LoadingOptions(workers: workers))
    for epoch in 0..<3 {
      let batches = try await collect(
        images.batches(epoch: epoch, batchSize: 2, imageSize: 8, seed: 1, training: epoch > 0))
      #expect(batches.map(\.count) == [2, 2])
      #expect(batches.flatMap(\.labels).sorted() == [0, 0, 1, 1])
    }
    #expect(
      reports.all.sorted() == [
        DataError.corruptImage(folder.path / "a/3.jpg", reason: "the file is empty").description,
        DataError.notAnImage(folder.path / "b/4.png", FileKind(of: Array("hello".utf8))).description,
      ])
  }

  @Test("a folder of nothing but broken pictures is an error, even when skipping")
  func nothingLeft() async throws {
    let folder = try TemporaryFolder()
    for name in ["a/1.png", "b/1.png"] { try folder.write([1], to: name) }
    let images = try ImageFolder(folder.path, transform: transform, onBrokenImage: .skip { _ in })
    await #expect(throws: DataError.noReadableImage(count: 2)) {
      try await collect(images.batches(epoch: 0, batchSize: 2, imageSize: 8, seed: 1, training: true))
    }
  }

  @Test("a transform that cannot make the crop ends the pass")
  func badTransform() async throws {
    let folder = try filled(["a/1.png", "b/1.png"])
    let images = try ImageFolder(folder.path, transform: transform)
    await #expect(throws: DataError.self) {
      try await collect(images.batches(epoch: 0, batchSize: 2, imageSize: 9, seed: 1, training: true))
    }
  }

  @Test("apps' pictures that do not fit together are refused")
  func inMemoryRefusals() throws {
    #expect(throws: DataError.self) { try RGBImage(width: 2, height: 2, pixels: [1, 2, 3]) }
    #expect(throws: DataError.self) { try RGBImage(width: -1, height: -1, pixels: [1, 2, 3]) }
    #expect(throws: DataError.self) { try RGBImage(width: .max, height: .max, pixels: []) }
    let image = try RGBImage(width: 1, height: 1, pixels: [1, 2, 3])
    for (images, labels, names) in [
      ([], [], ["a", "b"]), ([image], [], ["a", "b"]), ([image], [2], ["a", "b"]),
      ([image], [-1], ["a", "b"]), ([image], [0], ["a"]),
    ] as [([RGBImage], [Int], [String])] {
      #expect(throws: DataError.self) {
        try InMemoryImages(images, labels: labels, classNames: names, transform: transform)
      }
    }
  }
}

private final class Reports: Sendable {
  private let texts = Mutex<[String]>([])
  var all: [String] { texts.withLock { $0 } }
  func add(_ text: String) { texts.withLock { $0.append(text) } }
}
