import Graft
import GraftData

/// Answers any number of tasks: models stay inside the actor, requests wait in line for the device.
actor Classifier {
  private var models: [String: GraftedModel] = [:]
  private let context: Context

  init(device: String? = nil) throws {
    context = try Context(Device.select(device))
  }

  /// Adds an adapter folder under a name; its backbone is loaded once for all adapters.
  func add(_ name: String, from folder: FilePath) throws {
    models[name] = try GraftedModel(path: folder, sharing: models.values.map(\.backbone), on: context)
  }

  func classes(of photo: FilePath, by name: String) throws -> [Prediction] {
    guard let model = models[name] else { return [] }
    let size = model.backbone.shape.imageSize
    let pixels = try loadImage(photo, transform: .squash(imageSize: size), imageSize: size)
    return try model.predict(ImageBatch(count: 1, imageSize: size, pixels: pixels))[0]
  }
}
