public import Graft
import GraftSystem
public import SystemPackage

/// What can be wrong with images, folders of images and their transforms.
public enum DataError: Error, CustomStringConvertible, Equatable {
  /// The path is no folder that can be read.
  case missingFolder(FilePath)
  /// The folder holds no sub-folder, so there are no classes.
  case emptyFolder(FilePath)
  /// A class's folder holds no JPEG, PNG or WebP file; `leftOut` counts the others by ending.
  case emptyClass(FilePath, leftOut: [String: Int])
  /// There is no JPEG, PNG or WebP file below the folder; `leftOut` counts the others by ending.
  case noPictures(FilePath, leftOut: [String: Int])
  /// There is a single class: nothing can be learnt from it.
  case oneClass(source: String, name: String)
  /// A folder cannot be halved: no class has two pictures.
  case tooFewToHalve(FilePath)
  /// Training and validation do not have the same classes.
  case classesDiffer(onlyInTraining: [String], onlyInValidation: [String])
  /// Two class folders spell one name in two ways (an accent as one character, or as two).
  case sameClass(FilePath, FilePath)
  /// A folder, or a link to one, cannot be followed.
  case unreadableFolder(FilePath, reason: String)
  /// The file cannot be read.
  case unreadableFile(FilePath, reason: String)
  /// The system lacks what it takes to read any file, such as open files or memory.
  case outOfResources(FilePath, reason: String)
  /// The file's content is neither JPEG, PNG nor WebP, whatever its name says.
  case notAnImage(FilePath, FileKind)
  /// The file is a JPEG, PNG or WebP that cannot be decoded.
  case corruptImage(FilePath, reason: String)
  /// The image, or its file, is larger than the limit allows.
  case imageTooLarge(FilePath, size: String, limit: SizeLimit)
  /// A picture that is to be taken as it is has another size than the model's images.
  case otherSize(FilePath, actual: ImageSize, wanted: ImageSize)
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
      "\(printable(path)) is not a folder that can be read. Give a folder with one sub-folder a class, "
        + "as in \(printable(path))/CLASS/picture.jpg."
    case .emptyFolder(let path):
      "\(printable(path)) has no class folders. Put the pictures into one sub-folder a class, "
        + "as in \(printable(path))/CLASS/picture.jpg."
    case .emptyClass(let path, let leftOut):
      "The class folder \(printable(path)) has no .jpg, .jpeg, .jpe, .jfif, .png or .webp file"
        + (leftOut.isEmpty
          ? ". Add pictures, or remove the folder."
          : ", only \(LeftOut.list(leftOut)). Convert the pictures to PNG, or remove the folder.")
    case .noPictures(let path, let leftOut):
      "There is no .jpg, .jpeg, .jpe, .jfif, .png or .webp file below \(printable(path))"
        + (leftOut.isEmpty ? "." : ", only \(LeftOut.list(leftOut)). Convert the pictures to PNG.")
    case .oneClass(let source, let name):
      "\(printable(source)) has only one class, '\(printable(name))'. A classifier needs at least two: add a folder for each class."
    case .tooFewToHalve(let folder):
      "No class of \(printable(folder)) has two pictures, so it cannot be halved. Add pictures."
    case .classesDiffer(let onlyInTraining, let onlyInValidation):
      "The classes for training and validation differ."
        + Self.sentence(" Only in training: ", onlyInTraining)
        + Self.sentence(" Only in validation: ", onlyInValidation)
        + " Give both the same class folders."
    case .sameClass(let first, let second):
      "\(spelt(first)) and \(spelt(second)) spell the same name in two ways. Put the pictures into one of them."
    case .unreadableFolder(let path, let reason):
      "\(printable(path)) cannot be followed: \(reason). Mend it or remove it: leaving it out could lose a class."
    case .unreadableFile(let file, let reason):
      "\(printable(file)) cannot be read: \(reason)."
    case .outOfResources(let file, let reason):
      "\(printable(file)) cannot be read, as no other file could: \(reason). Raise the limit (see ulimit -a), or end other work."
    case .notAnImage(let file, let kind):
      "\(printable(file)) is \(kind.name), which Graft does not read. \(kind.remedy(for: printable(file)))"
    case .corruptImage(let file, let reason):
      "\(printable(file)) cannot be decoded: \(reason). Replace it, or remove it."
    case .imageTooLarge(let file, let size, let limit):
      switch limit {
      case .pixels(let pixels):
        "\(printable(file)) is \(size); the limit is \(pixels) pixels in all. Scale it down, or raise the limit: "
          + "--max-pixels N on the command line, LoadingOptions.maximumPixels in the library."
      case .side(let pixels):
        "\(printable(file)) is \(size); no side can have more than \(pixels). Scale it down."
      case .fileBytes(let bytes):
        "\(printable(file)) is \(size); no file can have more than \(bytes). Scale the picture down, or store it smaller."
      }
    case .otherSize(let file, let actual, let wanted):
      "\(printable(file)) is \(actual.height)x\(actual.width) pixels, rows by columns; taken as it is, it must be "
        + "\(wanted.height)x\(wanted.width). Resize it to that, or leave out --raw, and Graft resizes it."
    case .noReadableImage(let count):
      "None of the \(count) images can be read. Look at what was reported about each of them."
    case .badPixels(let reason):
      "The images in memory do not fit together: \(reason)."
    case .badTransform(let reason):
      "The image transform cannot be used: \(reason)."
    }
  }

  /// Whether a single picture is at fault, so that the others can be used.
  package var isOfOnePicture: Bool {
    switch self {
    case .unreadableFile, .notAnImage, .corruptImage, .imageTooLarge, .otherSize: true
    default: false
    }
  }

  private static func sentence(_ start: String, _ names: [String]) -> String {
    names.isEmpty ? "" : start + list(names) + "."
  }

  /// At most ten names: a wrong folder should not fill the screen.
  private static func list(_ names: [String]) -> String {
    let shown = names.prefix(10).map { "'\(printable($0))'" }.joined(separator: ", ")
    return names.count > 10 ? shown + " and \(names.count - 10) more" : shown
  }
}

/// A path whose letters beyond ASCII are written as escapes: spellings that look alike can be told apart.
private func spelt(_ path: FilePath) -> String {
  printable(path).unicodeScalars.map { $0.isASCII ? String($0) : "\\u{\(String($0.value, radix: 16))}" }
    .joined()
}
