/// What can be wrong with images, folders of images and their transforms.
public enum DataError: Error, CustomStringConvertible, Equatable {
  /// The path is no folder that can be read.
  case missingFolder(String)
  /// The folder holds no sub-folder, so there are no classes.
  case emptyFolder(String)
  /// A class's folder holds no JPEG, PNG or WebP file.
  case emptyClass(String)
  /// There is a single class: nothing can be learnt from it.
  case oneClass(source: String, name: String)
  /// A folder cannot be halved: no class has two pictures.
  case tooFewToHalve(String)
  /// Training and validation do not have the same classes.
  case classesDiffer(onlyInTraining: [String], onlyInValidation: [String])
  /// Training and validation have the same classes in another order, so that labels mean different things.
  case classOrderDiffers(training: [String], validation: [String])
  /// The file cannot be read.
  case unreadableFile(String, reason: String)
  /// The file's content is neither JPEG, PNG nor WebP, whatever its name says.
  case notAnImage(String, FileKind)
  /// The file is a JPEG, PNG or WebP that cannot be decoded.
  case corruptImage(String, reason: String)
  /// The image, or its file, is larger than the limit allows.
  case imageTooLarge(String, size: String, limit: SizeLimit)
  /// Every image was broken and skipped.
  case noReadableImage(count: Int)
  /// Pixels or labels that an app handed over do not fit together.
  case badPixels(String)
  /// A transform cannot make crops of the size asked for.
  case badTransform(String)

  /// What an image, or its file, must not exceed.
  public enum SizeLimit: Sendable, Equatable {
    /// Pixels in all, as ``LoadingOptions/maximumPixels`` says.
    case pixels(Int)
    /// Pixels on either side; fixed.
    case side(Int)
    /// Bytes of the file; fixed.
    case fileBytes(Int)
  }

  /// What was asked, what is wrong, and what to try.
  public var description: String {
    switch self {
    case .missingFolder(let path):
      "\(path) is not a folder that can be read. Give a folder with one sub-folder a class, "
        + "as in \(path)/CLASS/picture.jpg."
    case .emptyFolder(let path):
      "\(path) has no class folders. Put the pictures into one sub-folder a class, "
        + "as in \(path)/CLASS/picture.jpg."
    case .emptyClass(let path):
      "The class folder \(path) has no .jpg, .jpeg, .png or .webp file. Add pictures, or remove the folder."
    case .oneClass(let source, let name):
      "\(source) has only one class, '\(name)'. A classifier needs at least two: add a folder for each class."
    case .tooFewToHalve(let folder):
      "No class of \(folder) has two pictures, so it cannot be halved. Add pictures."
    case .classesDiffer(let onlyInTraining, let onlyInValidation):
      "The classes for training and validation differ."
        + Self.sentence(" Only in training: ", onlyInTraining)
        + Self.sentence(" Only in validation: ", onlyInValidation)
        + " Give both the same class folders."
    case .classOrderDiffers(let training, let validation):
      "Training and validation name the same classes in another order (\(Self.list(training)); "
        + "\(Self.list(validation))). Sort both lists the same way."
    case .unreadableFile(let file, let reason):
      "\(file) cannot be read: \(reason). Check that it is there, and its permissions."
    case .notAnImage(let file, let kind):
      "\(file) is \(kind.name), which Graft does not read. \(kind.remedy(for: file))"
    case .corruptImage(let file, let reason):
      "\(file) cannot be decoded: \(reason). Replace it, remove it, or have broken images skipped."
    case .imageTooLarge(let file, let size, let limit):
      switch limit {
      case .pixels(let pixels):
        "\(file) is \(size); the limit is \(pixels) pixels in all. Scale it down, or raise the limit: "
          + "--max-pixels N on the command line, LoadingOptions.maximumPixels in the library."
      case .side(let pixels):
        "\(file) is \(size); no side can have more than \(pixels). Scale it down."
      case .fileBytes(let bytes):
        "\(file) is \(size); no file can have more than \(bytes). Scale the picture down, or store it smaller."
      }
    case .noReadableImage(let count):
      "None of the \(count) images can be read. Look at what was reported about each of them."
    case .badPixels(let reason):
      "The images in memory do not fit together: \(reason)."
    case .badTransform(let reason):
      "The image transform cannot be used: \(reason)."
    }
  }

  private static func sentence(_ start: String, _ names: [String]) -> String {
    names.isEmpty ? "" : start + list(names) + "."
  }

  /// At most ten names: a wrong folder should not fill the screen.
  private static func list(_ names: [String]) -> String {
    let shown = names.prefix(10).map { "'\($0)'" }.joined(separator: ", ")
    return names.count > 10 ? shown + " and \(names.count - 10) more" : shown
  }
}
