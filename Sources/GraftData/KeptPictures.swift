import Graft
import GraftSystem
import Synchronization
import SystemPackage

/// Pictures that stay in memory from pass to pass, as bytes, after the resize that comes before a random crop.
///
/// Crops of them have the same bits as crops of files. Several sources may share one. When it is full, what does not fit is
/// decoded in every pass; files that change meanwhile are not read again.
public final class KeptPictures: Sendable {
  /// Most bytes that are kept.
  public let limit: Int

  /// What a picture is kept as.
  struct Key: Hashable {
    let file: FilePath
    let resize: ImageTransform.Resize
    let interpolation: ImageTransform.Interpolation
    let isScaled: Bool
    /// Size of the centre that is kept; nil for the whole.
    let centre: ImageSize?
  }

  /// A picture after its resize, or its centre.
  struct Picture {
    /// Size of the file's picture.
    let width, height: Int
    /// The part of the resized picture that is here.
    let part: Resampling.Rect
    let pixels: [UInt8]
  }

  private struct State {
    var pictures: [Key: Picture] = [:]
    var bytes = 0
  }

  private let state = Mutex(State())

  /// Keeps at most so many bytes; the default is a quarter of the memory that is free now.
  public init(limit: Int? = nil) {
    self.limit = limit ?? Machine.freeMemory / 4
  }

  /// What is kept now.
  public var bytes: Int { state.withLock { $0.bytes } }

  subscript(key: Key) -> Picture? { state.withLock { $0.pictures[key] } }

  /// Keeps a picture if there is room.
  func keep(_ picture: Picture, as key: Key) {
    state.withLock { state in
      guard state.pictures[key] == nil, picture.pixels.count <= limit - state.bytes else { return }
      state.pictures[key] = picture
      state.bytes += picture.pixels.count
    }
  }

  /// Whether there is room for so many bytes now.
  func hasRoom(for bytes: Int) -> Bool { state.withLock { bytes <= limit - $0.bytes } }
}

extension KeptPictures: Hashable {
  /// Each is its own.
  public static func == (a: KeptPictures, b: KeptPictures) -> Bool { a === b }

  /// Each is its own.
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

extension ImageTransform {
  /// Whether chance comes before the resize, so that nothing stays the same from pass to pass.
  package func resizesAtRandom(training: Bool) -> Bool { training && trainingCrop == .randomResized }

  /// Whether a crop is cut out of the resized picture at random.
  func cropsAtRandom(training: Bool) -> Bool { training && trainingCrop == .random }
}

extension CropPlan {
  /// The plan for what is kept, from which this crop can be cut.
  func keeping(whole: Bool) -> CropPlan {
    var plan = self
    plan.isFlipped = false
    if whole { plan.window = Resampling.Rect(x: 0, y: 0, width: width, height: height) }
    return plan
  }

  /// The crop, cut out of what was kept.
  func pixels(of picture: KeptPictures.Picture) -> [UInt8] {
    let (part, line) = (picture.part, window.width * 3)
    precondition(window.x >= part.x && window.x + window.width <= part.x + part.width)
    precondition(window.y >= part.y && window.y + window.height <= part.y + part.height)
    var result: [UInt8] = []
    result.reserveCapacity(window.height * line)
    for y in window.y..<window.y + window.height {
      let start = ((y - part.y) * part.width + window.x - part.x) * 3
      result += picture.pixels[start..<start + line]
    }
    if isFlipped { Self.mirror(&result, width: window.width, height: window.height) }
    return result
  }
}
