from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import CLIPConfig, CLIPModel

from brainad.encoders.clip import clip_image_tower, clip_text_tower
from brainad.encoders.vision_language import VisionLanguage, load_vision_language
from brainad.methods.rasalore.prompt_losses import Logits, guided_loss, tuning_loss
from brainad.methods.rasalore.prompt_tuning import (
    PromptSettings,
    PromptTuning,
    trainable_groups,
)
from brainad.methods.rasalore.shared_space import cosine_logits
from brainad.methods.rasalore.text_prompts import Position
from brainad.methods.rasalore.visual_prompts import ClassAwarePrompts, DeepPrompts

Arrays = dict[str, NDArray[Any]]
Load = Callable[[str], Arrays]

CPU = torch.device("cpu")


def published_names(arrays: Arrays) -> dict[str, torch.Tensor]:
    """Rename CLIP weights from their original names to those of transformers."""
    state: dict[str, torch.Tensor] = {}
    layers = (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"),
              ("mlp.c_proj", "mlp.fc2"), ("attn.out_proj", "self_attn.out_proj"))  # fmt: skip
    single = {
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "ln_final.weight": "text_model.final_layer_norm.weight",
        "ln_final.bias": "text_model.final_layer_norm.bias",
        "logit_scale": "logit_scale",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
        "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
        "visual.ln_post.weight": "vision_model.post_layernorm.weight",
        "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    }
    weights = {k.removeprefix("clip."): v for k, v in arrays.items() if k.startswith("clip.")}
    for name, array in weights.items():
        tensor = torch.from_numpy(array)
        if name in ("text_projection", "visual.proj"):
            tower = "text" if name == "text_projection" else "visual"
            state[f"{tower}_projection.weight"] = tensor.T.contiguous()
        elif name in single:
            state[single[name]] = tensor
        else:
            tower = "vision_model" if name.startswith("visual.") else "text_model"
            number, rest = name.split("resblocks.")[1].split(".", 1)
            place = f"{tower}.encoder.layers.{number}"
            if "in_proj" in rest:
                kind = rest.rsplit("_", 1)[1]
                for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                    state[f"{place}.self_attn.{part}_proj.{kind}"] = rows
            else:
                old, new = next(pair for pair in layers if rest.startswith(pair[0]))
                state[f"{place}.{rest.replace(old, new)}"] = tensor
    return state


def golden_towers(case: Arrays) -> VisionLanguage:
    width, text_width = int(case["vision_width"]), case["clip.ln_final.weight"].size
    patch = int(case["patch"])
    side = round((len(case["clip.visual.positional_embedding"]) - 1) ** 0.5)
    config = CLIPConfig(
        text_config={
            "vocab_size": len(case["clip.token_embedding.weight"]),
            "hidden_size": text_width,
            "intermediate_size": 4 * text_width,
            "num_hidden_layers": 2,
            "num_attention_heads": int(case["text_heads"]),
            "max_position_embeddings": len(case["clip.positional_embedding"]),
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": int(case["vision_layers"]),
            "num_attention_heads": int(case["vision_heads"]),
            "image_size": side * patch,
            "patch_size": patch,
        },
        projection_dim=case["clip.visual.proj"].shape[1],
    )
    model = CLIPModel(config)
    state = published_names(case)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert not missing
    ids = case["hand_prompt_token_ids"]
    context = int(case["n_text_ctx"])
    classes = [tuple(row[1 + context : 1 + context + n]) for row, n in zip(
        case["learn_prompt_token_ids"], case["class_name_token_len"], strict=True)]  # fmt: skip
    stop = case["learn_prompt_token_ids"][0, 1 + context + int(case["class_name_token_len"][0])]
    words: dict[str, tuple[int, ...]] = {"one": classes[0], "two": classes[1], ".": (int(stop),)}
    for row, name in zip(ids, ("one", "two"), strict=True):
        words[f"a photo of a {name} brain."] = tuple(row[1 : int(row.argmax())])
    text = clip_text_tower(
        model, lambda text: [int(i) for i in words[text]], (int(ids[0, 0]), int(ids.max())), CPU
    )
    return VisionLanguage("golden", clip_image_tower(model, CPU), text, float(
        np.exp(case["clip.logit_scale"])))  # fmt: skip


def golden_tuning(case: Arrays, position: Position) -> PromptTuning:
    tuning = PromptTuning(
        golden_towers(case),
        PromptSettings(
            class_words=("one", "two"),
            text_tokens=int(case["n_text_ctx"]),
            position=position,
            visual_tokens=int(case["n_visual_ctx"]),
            depth=int(case["vision_layers"]),
        ),
    )
    names = {"tune.text_ctx": "text_prompts.context", "tune.visual_ctx": "deep_prompts.tokens"}
    state = {
        names.get(name, name.replace("tune.cavpt.", "class_prompts.")): torch.from_numpy(array)
        for name, array in case.items()
        if name.startswith("tune.")
    }
    missing, unexpected = tuning.load_state_dict(state, strict=False)
    assert not unexpected
    assert not missing
    return tuning


@pytest.mark.parametrize("position", ["end", "middle"])
def test_stage_one_is_the_golden_one(golden: Load, position: Position) -> None:
    case = golden("ddpt_forward")
    tuning = golden_tuning(case, position)
    image = tuning._towers.image
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (image.mean, image.std))
    pictures = torch.from_numpy(case["image"]) * std + mean
    with torch.no_grad():
        tokens = tuning.enter(pictures)
        text = tuning.text_features()
        answer = tuning.ask(tokens, text)
        hand = tuning.hand_written()
        logits = Logits(
            answer.logits,
            cosine_logits(tuning.space, tuning.unprompted(tokens), text),
            cosine_logits(tuning.space, answer.features, hand),
        )
        alone = tuning.ask(tokens[1:2], text)
        prompts = tuning.text_prompts.assemble()
    labels = torch.from_numpy(case["label"])
    eta = float(case["eta"])
    # The release sorts the classes per image; here their order is fixed.
    order = torch.from_numpy(case[f"{position}.zero_shot_order"])
    rows = torch.arange(len(order))[:, None]
    length = prompts.embeddings.shape[1]
    found: dict[str, Any] = {
        "logits": logits.both,
        "logits_text_only": logits.text_only,
        "logits_visual_only": logits.visual_only,
        "aux_logits": answer.auxiliary[rows, order],
        "cavpt_attn": answer.class_attention[rows, order],
        "text_features": text,
        "prompt_embeddings": prompts.embeddings,
        "loss_phase1": guided_loss(logits, answer.auxiliary, labels, eta),
        "loss_phase2": tuning_loss(logits.both, answer.auxiliary, labels, eta),
        "infer_logits_img1": alone.logits,
        "cls_to_patch_img1": tuning.class_token_attention(alone)[0],
    }
    for name, result in found.items():
        expected = case[f"{position}.{name}"]
        if name == "prompt_embeddings":
            expected = np.where(prompts.valid[..., None], expected[:, :length], 0)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5, err_msg=name)
    block = image.blocks[-1].attention(alone.last_tokens)[0]
    np.testing.assert_allclose(block, case[f"{position}.last_block_attn_img1"], atol=1e-5)
    np.testing.assert_allclose(
        torch.nn.functional.normalize(hand, dim=1), case["hand_text_features_normalised"], atol=1e-5
    )


@pytest.fixture
def tuning(tmp_path: Path) -> PromptTuning:
    towers = load_vision_language("tiny", tmp_path, CPU)
    torch.manual_seed(0)
    return PromptTuning(towers, PromptSettings(text_tokens=4, visual_tokens=2, depth=4))


def test_gradients_reach_what_is_learnt_and_nothing_else(tuning: PromptTuning) -> None:
    answer = tuning.ask(tuning.enter(torch.rand(3, 28, 28)), tuning.text_features())
    tuning_loss(answer.logits, answer.auxiliary, torch.tensor([0, 1, 1]), 0.3).backward()
    groups = trainable_groups(tuning)
    learnt = [parameter for group in groups.values() for parameter in group]
    assert len(learnt) == len(list(tuning.parameters()))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learnt)
    frozen = [p for block in tuning._towers.image.blocks for p in block.module.parameters()]
    assert all(p.grad is None for p in frozen)


def test_frozen_blocks_can_be_run_beforehand(tmp_path: Path) -> None:
    towers = load_vision_language("tiny", tmp_path, CPU)
    tuning = PromptTuning(towers, PromptSettings(depth=4, first_block=2, visual_tokens=3))
    assert tuning.deep_prompts.tokens.shape[:2] == (1, 3)
    images = torch.rand(2, 28, 42)
    tokens = tuning.enter(images)
    assert not tokens.requires_grad
    whole = towers.image.run(towers.image.embed(images), 0, 4)
    torch.testing.assert_close(tuning.unprompted(tokens), towers.image.head(whole[:, 0]))


def test_the_order_of_the_classes_changes_no_answer(tuning: PromptTuning) -> None:
    tokens = tuning.enter(torch.rand(2, 28, 28))
    text = tuning.text_features()
    answer, swapped = tuning.ask(tokens, text), tuning.ask(tokens, text.flip(0))
    torch.testing.assert_close(swapped.logits, answer.logits.flip(1), rtol=1e-4, atol=1e-4)


def test_one_image_is_answered_as_in_company(tuning: PromptTuning) -> None:
    tokens = tuning.enter(torch.rand(3, 28, 28))
    text = tuning.text_features()
    together = tuning.class_token_attention(tuning.ask(tokens, text))
    alone = tuning.class_token_attention(tuning.ask(tokens[1:2], text))
    torch.testing.assert_close(together[1:2], alone)
    assert together.shape == (3, 4)
    assert (together.sum(1) < 1).all()


def test_the_difference_of_classes_is_never_negative(tuning: PromptTuning) -> None:
    answer = tuning.ask(tuning.enter(torch.rand(2, 28, 28)), tuning.text_features())
    difference = tuning.class_difference(answer)
    assert difference.shape == tuning.token_lengths(answer).shape == (2, 4)
    assert (difference >= 0).all()


def test_evidence_points_at_the_class(tuning: PromptTuning) -> None:
    text = tuning.text_features()
    answer = tuning.ask(tuning.enter(torch.rand(3, 28, 28)), text)
    evidence = tuning.class_evidence(answer, text)
    assert evidence.shape == (3, 4)
    assert not evidence.requires_grad
    assert (evidence >= 0).all()
    against = tuning.class_evidence(answer, text.flip(0))
    assert ((evidence > 0) & (against > 0)).sum() == 0
    assert ((evidence > 0) | (against > 0)).float().mean() > 0.9
    assert all(parameter.grad is None for parameter in tuning.parameters())


def test_published_size_of_what_is_learnt() -> None:
    deep, aware = DeepPrompts(11, 10, 768), ClassAwarePrompts(768, 512, 2)
    learnt = sum(p.numel() for module in (deep, aware) for p in module.parameters()) + 16 * 512
    assert learnt == 1_137_920
