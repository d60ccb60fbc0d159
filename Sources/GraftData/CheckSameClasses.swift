public import Graft

/// Checks that training and validation mean the same classes by the same labels.
///
/// - Throws: ``DataError/classesDiffer(onlyInTraining:onlyInValidation:)``, naming the classes, or
///   ``DataError/classOrderDiffers(training:validation:)``.
public func checkSameClasses(train: some BatchSource, val: some BatchSource) throws(DataError) {
  let (training, validation) = (train.classNames, val.classNames)
  if training == validation { return }
  let onlyInTraining = training.filter { !validation.contains($0) }
  let onlyInValidation = validation.filter { !training.contains($0) }
  if onlyInTraining.isEmpty && onlyInValidation.isEmpty {
    throw .classOrderDiffers(training: training, validation: validation)
  }
  throw .classesDiffer(onlyInTraining: onlyInTraining, onlyInValidation: onlyInValidation)
}
