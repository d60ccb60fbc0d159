/// Settings of a family of backbones, as an ``Adapter`` is the settings of a method.
///
/// A conforming type holds values only. ``shape()`` turns them into operations under their canonical names; what a file
/// must hold, what a model costs and where adapters join follow from that list.
public protocol Architecture: Codable, Sendable, Hashable {
  /// The family's name in files and messages, such as `vit`.
  static var family: String { get }
  /// timm's name where it has one for these settings, otherwise one in its style.
  var name: String { get }
  /// Height and width of the input images, in pixels.
  var imageSize: ImageSize { get }
  /// The list of operations.
  ///
  /// - Throws: ``GraftError`` for settings that contradict each other.
  func shape() throws -> BackboneShape
  /// The same weights for images of another size.
  ///
  /// - Throws: ``GraftError`` for a size that does not fit.
  func resized(to imageSize: ImageSize) throws -> Self
  /// The same with what someone says about a file that cannot tell it itself.
  ///
  /// - Throws: ``GraftError`` for what does not fit.
  func replacing(by options: BackboneOptions) throws -> Self
  /// What is computed with, as the command's options spell it; `null` where there is no such thing, or only a file has it.
  func value(of fact: BackboneFact) -> JSONValue
}
