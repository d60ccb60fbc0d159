package import SystemPackage

/// All pictures below a folder, sorted by path, whatever its folders mean.
package struct PictureFolder: Sendable {
  /// The pictures.
  package let pictures: [FilePath]
  /// Files that no decoder reads, by ending in lower case; hidden ones do not count.
  package let leftOut: [String: Int]

  /// - Throws: ``DataError`` when there is no picture, or something in the folder cannot be followed.
  package init(_ folder: FilePath) throws(DataError) {
    let listing = try FolderListing(picturesBelow: folder)
    guard !listing.files.isEmpty else { throw .noPictures(folder, leftOut: listing.leftOut) }
    pictures = listing.files.map(\.path)
    leftOut = listing.leftOut
  }
}
