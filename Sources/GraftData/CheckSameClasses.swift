public import Graft

/// Checks that training and validation have the same classes; names are equal in any spelling of Unicode, in any order.
///
/// - Throws: ``DataError/classesDiffer(onlyInTraining:onlyInValidation:)``, naming the classes.
public func checkSameClasses(train: some BatchSource, val: some BatchSource) throws(DataError) {
  let (training, validation) = (Set(train.classNames), Set(val.classNames))
  guard training != validation else { return }
  throw .classesDiffer(
    onlyInTraining: train.classNames.filter { !validation.contains($0) },
    onlyInValidation: val.classNames.filter { !training.contains($0) })
}
