"""`graft features --raw` beside timm and transformers on the same pictures: what tools/check_timm.py --features compares."""

from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))

import numpy
import tiny
import torch
from backbone import RESAMPLINGS, timm
from common import FIXTURES, setup
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from timm.layers import LayerNorm, SwiGLUPacked
from torch import Tensor, nn

Outputs = dict[str, Tensor]
# The largest difference over the largest value.
ALLOWED = 1e-4


@dataclass
class Case:
    """A file of weights, what it does not tell, and who else computes with it."""

    name: str
    file: Path
    # Tokens and features of normalised images of one size.
    reference: Callable[[Tensor], Outputs]
    sizes: list[tuple[int, int]]
    options: list[str] = field(default_factory=list)


# The command


def graft(binary: Path, case: Case, pixels: numpy.ndarray, folder: Path) -> dict[str, numpy.ndarray]:
    """The command's features and tokens of pictures that it takes as they are."""
    paths = []
    for index, picture in enumerate(pixels):
        paths.append(folder / f"{index}.png")
        Image.fromarray(picture).save(paths[-1])
    height, width = pixels.shape[1:3]
    found = {}
    for kind, words in (("features", []), ("tokens", ["--tokens"])):
        out = folder / f"{kind}.npy"
        command = [binary, "features", "--backbone", case.file, *case.options, *words]
        command += ["--normalization", "half", "--raw", "--image-size", f"{height}x{width}", "--out", out, *paths]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode:
            setup.stop(f"graft features failed on {case.name}: {done.stderr[-2000:]}")
        found[kind] = numpy.load(out)
    return found


def compare(binary: Path, cases: list[Case], folder: Path) -> bool:
    """Prints a row a case and size; whether all of them agree."""
    names = ["tokens", "features"]
    width = max(len(case.name) for case in cases)
    print(f"{'model':{width}}  {'pixels':>9}  {'tokens':>8}  {'features':>8}  {'fp32':>8}")
    failures = 0
    for case in cases:
        for height, width_ in case.sizes:
            pixels = numpy.random.default_rng(height * 1000 + width_).integers(0, 256, (2, height, width_, 3), numpy.uint8)
            images = torch.from_numpy((pixels.astype(numpy.float32) / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).contiguous()
            ours = graft(binary, case, pixels, folder)
            with torch.no_grad():
                exact, single = case.reference(images.double()), case.reference(images)
            rows = {name: difference(torch.from_numpy(ours[name]), exact[name]) for name in names}
            worst = max(difference(single[name], exact[name]) for name in names)
            isRight = all(value <= ALLOWED for value in rows.values())
            failures += not isRight
            numbers = "  ".join(f"{value:8.1e}" for value in [*rows.values(), worst])
            print(f"{case.name:{width}}  {height:>4}x{width_:<4}  {numbers}{'' if isRight else '  differs'}", flush=True)
    print(f"fp32: how far the other library's own fp32 is from its float64. {failures} differ by more than {ALLOWED}.")
    return failures == 0


def difference(actual: Tensor, expected: Tensor) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    return float((actual.double() - expected.double()).abs().max() / expected.double().abs().max())


# timm


def of_timm(model: nn.Module, resampling: str | None = None) -> Callable[[Tensor], Outputs]:
    """timm's own outputs; its table of positions resampled by another library's rule where one is named."""

    def outputs(images: Tensor) -> Outputs:
        height, width = images.shape[2:]
        sized = tiny.at_size(model, height, width)
        if resampling in RESAMPLINGS and tiny.has(model, "pos_embed"):
            sized = copy.deepcopy(sized)
            sized.pos_embed = nn.Parameter(resampled(model, (height, width), resampling), requires_grad=False)
        sized = copy.deepcopy(sized).to(images.dtype)
        tokens = sized.forward_features(images)
        return {"tokens": tokens, "features": sized.forward_head(tokens, pre_logits=True)}

    return outputs


def resampled(model: nn.Module, size: tuple[int, int], resampling: str) -> Tensor:
    front = model.pos_embed.shape[1] - model.patch_embed.num_patches
    head, cells = model.pos_embed[:, :front], model.pos_embed[:, front:]
    old, patch = model.patch_embed.grid_size, model.patch_embed.patch_size
    image = cells.reshape(1, *old, -1).permute(0, 3, 1, 2)
    grid = (size[0] // patch[0], size[1] // patch[1])
    image = torch.nn.functional.interpolate(image, size=grid, **RESAMPLINGS[resampling]) if grid != old else image
    return torch.cat([head, image.flatten(2).transpose(1, 2)], dim=1)


def words(settings: dict[str, Any]) -> list[str]:
    """What a file of weights does not tell, as the command's options."""
    facts = {"pooling": "distilled" if settings["class"] == "VisionTransformerDistilled" else settings["pooling"]}
    if settings["gated"] == "none":
        facts["activation"] = settings["activation"]
    if (settings["rope"] or {}).get("reference_grid"):
        facts["rotation_side"] = settings["rope"]["reference_grid"][0]
    said = [word for name, value in facts.items() for word in ("--set-backbone", f"{name}={value}")]
    return ["--heads", str(settings["heads"]), "--epsilon", str(settings["epsilon"]), *said]


def build(settings: dict[str, Any], classes: int = 0) -> nn.Module:
    """timm's model of the settings that a fixture records."""
    norms = settings["norms"]
    options = {
        **tiny.SMALL,
        "num_classes": classes,
        "mlp_ratio": settings["hidden_width"] / settings["width"],
        "norm_layer": partial(LayerNorm, eps=settings["epsilon"]),
    }
    rope = settings["rope"] or {}
    if settings["class"] == "VisionTransformerDistilled":
        return timm.create_model("deit_tiny_distilled_patch16_224", **options)
    if settings["class"] == "Beit":
        shared = settings["relative_bias"] == "shared"
        options |= {"global_pool": settings["pooling"], "init_values": 0.1 if settings["layer_scale"] else None}
        options |= {"use_shared_rel_pos_bias": True, "use_rel_pos_bias": False} if shared else {}
        return timm.create_model("beit_base_patch16_224", **options)
    if settings["class"] == "Eva":
        options["global_pool"] = settings["pooling"]
        if "DinoV3" in rope.get("class", ""):
            size = "small_plus" if settings["gated"] != "none" else "small"
            kind = "" if settings["qkv_bias"] == "none" else "_qkvb"
            return timm.create_model(f"vit_{size}_patch16_dinov3{kind}", **options)
        names = {"eva02_base_patch16_clip_224": "attention_norm", "eva02_base_patch14_224": "mlp_norm"}
        name = next((name for name, mark in names.items() if settings[mark]), "eva02_tiny_patch14_224")
        if settings["gated"] == "none":
            name = "eva_giant_patch14_224" if not rope else "vit_medium_patch16_rope_reg1_gap_256"
        return timm.create_model(name, **options, **({"ref_feat_shape": tuple(rope["reference_grid"])} if rope else {}))
    gated = settings["gated"] != "none"
    # A gate's two halves count as one layer for timm.
    options["mlp_ratio"] *= 2 if gated else 1
    return timm.create_model(
        "vit_tiny_patch16_224",
        **options,
        class_token=settings["class_token"],
        reg_tokens=settings["registers"],
        no_embed_class=settings["position_cover"] == "patches",
        pre_norm="norm_pre" in norms,
        fc_norm="fc_norm" in norms,
        global_pool=settings["pooling"],
        qkv_bias=settings["qkv_bias"] == "full",
        qk_norm=settings["qk_norm"],
        init_values=1.0 if settings["layer_scale"] else None,
        **({"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU} if gated else {"act_layer": settings["activation"]}),
    )  # fmt: skip


def load(model: nn.Module, file: Path, what: str) -> nn.Module:
    tensors = {name: value for name, value in load_file(file).items() if not name.startswith("head")}
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        setup.stop(f"timm's model does not take {what}: {str(error)[:1000]}")
    return model.requires_grad_(False).eval()


def about(file: Path) -> dict[str, Any]:
    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()["about"])


def sizes(settings: dict[str, Any]) -> list[tuple[int, int]]:
    """Relative positions are tied to one size."""
    return [*tiny.SIZES][: 1 if settings["relative_bias"] != "none" else None]


def fixtures() -> Iterator[Case]:
    """The tiny models of timm's, and every other library's files beside timm's model of the same weights."""
    for file in sorted((FIXTURES / "backbones").glob("*.expected.safetensors")):
        known = about(file)
        name = file.name.removesuffix(".expected.safetensors")
        weights = file.with_name(f"{name}.safetensors")
        model = load(timm.create_model(known["timm"], **{**tiny.SMALL, **known["options"]}), weights, name)
        yield Case(name, weights, of_timm(model), sizes(known), words(known))
    for folder in sorted((FIXTURES / "dialects").iterdir()):
        known = about(folder / "expected.safetensors")
        settings = known["timm"]
        if "or gelu_tanh" in settings["activation"]:
            # Flax's GELU, which the names tell.
            settings["activation"] = "gelu_tanh"
        model = load(build(settings), folder / "timm.safetensors", folder.name)
        resampling = (known["resampling"] or "").split(" ")[0]
        yield Case(folder.name, weights_in(folder), of_timm(model, resampling), sizes(settings), words(settings))


def weights_in(folder: Path) -> Path:
    found = [file for file in folder.iterdir() if file.name.startswith(("model.", "open_clip_model.safetensors"))]
    return found[0]


def named(file: Path, model: nn.Module, name: str, sizes: list[tuple[int, int]]) -> Case:
    """A file that somebody names, with timm's model that has taken it."""
    return Case(name, file, of_timm(model.requires_grad_(False).eval()), sizes, words(tiny.settings(model)))


# transformers


def has_transformers() -> bool:
    return importlib.util.find_spec("transformers") is not None


def of_transformers() -> Iterator[Case]:
    """The fixtures of transformers' in the names of the version at hand, beside its own models."""
    import huggingface_tiny
    import transformers

    ending = "_v5" if int(transformers.__version__.split(".")[0]) >= 5 else ""
    transformers.logging.set_verbosity_error()
    for name, dialect in huggingface_tiny.DIALECTS.items():
        folder = FIXTURES / "dialects" / f"{name}{ending}"
        if not folder.is_dir():
            continue
        made = getattr(transformers, json.loads((folder / "config.json").read_text())["architectures"][0])
        model = made.from_pretrained(folder, local_files_only=True, attn_implementation="sdpa")
        model = model.requires_grad_(False).eval()
        settings = about(folder / "expected.safetensors")["timm"]
        case = Case(f"{folder.name} (transformers)", folder, partial(asked, model, dialect), sizes(settings), words(settings))
        yield case


def asked(model: nn.Module, dialect: Any, images: Tensor) -> Outputs:
    return dialect.features(copy.deepcopy(model).to(images.dtype), images)
