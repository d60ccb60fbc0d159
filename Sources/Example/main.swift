import Graft
import GraftData

let context = try Context(Device.select())
let backbone = try Backbone(
  path: "dinov2_small.safetensors", options: .init(imageSize: 112), on: context)
let transform = ImageTransform.squash(imageSize: 112)
let training = try ImageFolder("flowers/train", transform: transform)
let validation = try ImageFolder("flowers/val", transform: transform)

let model = try GraftedModel(backbone, adapter: ILA(), classes: training.classNames)
let recipe = try TrainingRecipe.preset("quick", for: model.adapter)
let trainer = try Trainer(model, recipe: recipe, output: "runs/ila")
let result = try await trainer.run(training: training, validation: validation)
print("top-1:", result.validation?.top1 ?? 0)

let photo = try loadImage("photo.jpg", transform: transform, imageSize: 112)
let predictions = try model.predict(ImageBatch(count: 1, imageSize: 112, pixels: photo))
print(predictions[0][0].className, predictions[0][0].probability)
