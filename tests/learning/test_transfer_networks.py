"""The networks of the cell studies: their form, their normalisation, and start weights that are nobody else's."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import timm.models._hub
import torch
from torch import nn

from marrowscope.errors import DataError
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.names import NAMES, name_of
from marrowscope.learning.transfer.networks import NETWORKS, CellNetwork, build, from_spec
from marrowscope.learning.transfer.recipes.sides import fitting
from marrowscope.learning.transfer.start import restore_folded
from marrowscope.learning.weights import read_layers

DATA = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[2] / "../shared/data"))
WEIGHTS = DATA.parent / "weights"
PAPER_HEAD = Head("average", batch_norm=True, dense=(256,), dropout=0.5)


def pictures(n: int, side: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(n + side).integers(0, 256, (n, side, side, 3), np.uint8))


def small(classes: int = 3, head: Head | None = None, **settings) -> CellNetwork:
    return build("mobilenetv4-small", classes, head or Head(), **{"weights": None, "seed": 0, "side": 64, **settings})


@pytest.mark.parametrize("key", NETWORKS)
def test_every_network_gives_logits_and_a_map_with_the_head_of_the_papers(key: str) -> None:
    side = fitting(key, 96)
    with torch.device("meta"):  # shapes only: nothing is computed
        network = CellNetwork(key, 7, PAPER_HEAD, side).eval()
        logits, feature_map = network.logits_and_map(torch.zeros(2, side, side, 3, dtype=torch.uint8))
    assert logits.shape == (2, 7)
    assert feature_map.ndim == 4
    assert [type(layer).__name__ for layer in network.head.layers] == ["BatchNorm1d", "Linear", "ReLU", "Dropout"]
    assert network.head.linear.in_features == 256


def test_every_network_has_a_name_and_files_called_by_it_or_its_key_are_the_same() -> None:
    assert list(NAMES) == list(NETWORKS)
    assert [network.name for network in NETWORKS.values()] == list(NAMES.values())
    assert [name.lower().replace(" ", "-") for name in NAMES.values()] == list(NETWORKS)
    assert not set(NAMES) & set(NAMES.values())
    assert (name_of("mobilenetv2"), name_of("another")) == ("MobileNetV2", "another")


def test_every_network_that_a_paper_names_is_there() -> None:
    named = {paper: {n.key for n in NETWORKS.values() if paper in n.papers} for paper in
             ("shah-2025", "meem-2023", "senthilkumar-2023", "veerasagar-2025")}  # fmt: skip
    assert named == {
        "shah-2025": {
            "sequential-cnn", "convnext-small", "convnext-tiny", "densenet121", "efficientnet-b5", "resnet50", "vgg16",
            "xception",
        },
        "meem-2023": {"inception-resnet-v2"},
        "senthilkumar-2023": {"vgg16", "resnet50", "efficientnet-b0"},
        "veerasagar-2025": {"efficientnet-b0", "vgg16"},
    }  # fmt: skip


@pytest.mark.parametrize("key", [key for key, network in NETWORKS.items() if network.timm_id])
def test_normalisation_is_that_of_the_start_weights(key: str) -> None:
    known = timm.models.get_pretrained_cfg(NETWORKS[key].timm_id)
    assert known is not None
    assert known.tag == NETWORKS[key].timm_id.split(".")[1]
    with torch.device("cpu"):
        from marrowscope.learning.transfer.networks import Normalise, _colours

        normalise = Normalise(*_colours(NETWORKS[key]))
    given = pictures(2, 8)
    expected = (given / 255 - torch.tensor(known.mean)) / torch.tensor(known.std)
    assert torch.allclose(normalise(given), expected.permute(0, 3, 1, 2), atol=1e-5)
    assert torch.allclose(normalise(given.float()), normalise(given))  # uint8 or float: never scaled twice


def test_the_sequential_cnn_is_that_of_the_paper() -> None:
    network = build("sequential-cnn", 7, Head("flatten", 0.5, dense=(128,)), weights=None, seed=0, side=64)
    filters = [part.out_channels for part in network.base.modules() if isinstance(part, nn.Conv2d)]
    widths = [part.out_features for part in network.head.modules() if isinstance(part, nn.Linear)]
    assert (filters, widths) == ([16, 32, 64], [128, 7])
    assert network.head.linear.in_features == 128
    assert torch.equal(network.normalise(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8)), torch.ones(1, 3, 2, 2))


def test_vgg_has_no_unused_dense_layers() -> None:
    with torch.device("meta"):
        network = CellNetwork("vgg16", 7, PAPER_HEAD, 64)
    assert sum(part.numel() for part in network.base.parameters()) == 14_714_688  # Keras's VGG16 without its top


def test_the_seed_decides_the_weights_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = small(seed=1), small(seed=1), small(seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.head.linear.weight, same.head.linear.weight)
    assert not torch.equal(one.head.linear.weight, other.head.linear.weight)


def test_a_frozen_base_learns_nothing_and_keeps_its_statistics() -> None:
    network = small(head=PAPER_HEAD).freeze_base()
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.SGD([part for part in network.parameters() if part.requires_grad], 1.0)
    network(pictures(4, 64)).square().mean().backward()
    optimiser.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("head.") for name in changed)
    assert all(part.requires_grad for part in network.freeze_base(False).parameters())


@pytest.mark.parametrize("key", NETWORKS)
def test_the_stages_of_every_base_hold_each_weight_once(key: str) -> None:
    with torch.device("meta"):
        network = CellNetwork(key, 3, Head(), fitting(key, 96))
    stages = network.stages()
    assert 3 <= len(stages) <= 45
    assert sorted(name for stage in stages for name in stage) == sorted(n for n, _ in network.base.named_parameters())
    assert all(any(network.base.get_parameter(name).ndim > 1 for name in stage) for stage in stages)


@pytest.mark.parametrize(
    ("key", "stages", "freed", "learns"),
    [
        ("mobilenetv2", 19, 2, ("17.", "18.")),
        ("sequential-cnn", 3, 1, ("6.",)),
        ("mobilenetv4-small", 6, 2, ("blocks.3.", "blocks.4.")),
        ("vit-small", 13, 2, ("blocks.10.", "blocks.11.", "norm.")),
    ],
)
def test_the_last_stages_learn_and_those_before_stay(
    key: str, stages: int, freed: int, learns: tuple[str, ...]
) -> None:
    network = build(key, 3, Head(), weights=None, seed=0, side=32).free_last(freed)
    network.train()
    assert len(network.stages()) == stages
    wanted = {name for name, _ in network.base.named_parameters() if name.startswith(learns)}
    assert {name for name, part in network.base.named_parameters() if part.requires_grad} == wanted
    assert 0 < len(wanted) < len(list(network.base.parameters()))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.SGD([part for part in network.parameters() if part.requires_grad], 1.0)
    network(pictures(4, 32)).square().mean().backward()
    optimiser.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("base.") for name in changed)
    # batch norm statistics are no weights, and stay where the weights do
    assert all(name.startswith(("head.", *(f"base.{start}" for start in learns))) for name in changed)
    if any(isinstance(part, nn.BatchNorm2d) for part in network.modules()):
        assert any(name.endswith("running_mean") for name in changed)


def test_all_stages_are_a_free_base_none_a_frozen_one_and_more_are_refused() -> None:
    network = small().free_last(2).free_last(6).train()
    assert all(part.requires_grad for part in network.parameters())
    assert all(part.training for part in network.modules())
    network.free_last(0).train()
    assert not any(part.requires_grad for part in network.base.parameters())
    assert not network.base.training
    with pytest.raises(DataError, match="MobileNetV4-small has 6 stages; 7 of them cannot learn"):
        network.free_last(7)


def test_a_network_is_built_again_from_what_it_tells() -> None:
    network = small(head=PAPER_HEAD, seed=3).eval()
    again = from_spec(network.spec())
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(pictures(2, 64)), network(pictures(2, 64)))


def test_the_layer_of_grad_cam_gives_the_map_that_the_head_sees() -> None:
    network, seen = small().eval(), []
    network.cam_layer().register_forward_hook(lambda module, given, found: seen.append(found))
    logits = network(pictures(2, 64))
    assert torch.allclose(network.head.linear(seen[0].mean((2, 3))), logits, atol=1e-6)
    assert torch.equal(network.features(pictures(2, 64)), seen[0])


def test_the_tokens_of_a_transformer_become_a_map() -> None:
    network, seen = build("vit-small", 3, Head("token"), weights=None, seed=0, side=48).eval(), []
    network.cam_layer().register_forward_hook(lambda module, given, found: seen.append(found))
    network(pictures(2, 48))
    assert seen[0].shape == (2, 10, 384)
    laid = network.to_map(seen[0])
    assert laid.shape == (2, 384, 3, 3)
    assert torch.equal(laid[0, :, 1, 2], seen[0][0, 1 + 5])


def test_sides_that_a_network_cannot_take_are_refused() -> None:
    with pytest.raises(DataError, match="whole patches of 14 px, not 128: give 126 px"):
        build("dinobloom-s", 3, Head("token"), weights=None, seed=0, side=128)
    with pytest.raises(DataError, match="pictures of 64 px are too small for Inception-ResNet-v2"):
        build("inception-resnet-v2", 3, Head(), weights=None, seed=0, side=64)
    with pytest.raises(DataError, match="there is no network 'resnet-50'; the networks are: sequential-cnn, "):
        build("resnet-50", 3, Head(), weights=None, seed=0)
    with pytest.raises(DataError, match="class token"):
        small(head=Head("token"))(pictures(2, 64))


def test_weights_of_timm_fill_the_base_and_leave_the_head(tmp_path: Path) -> None:
    theirs = timm.create_model("mobilenetv4_conv_small", pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "start.pth")
    ours = small(weights=tmp_path / "start.pth").eval()
    given = pictures(2, 64)
    with torch.no_grad():
        expected = theirs.eval().forward_features(ours.normalise(given))
        assert torch.allclose(ours.features(given), expected, atol=1e-5)
    assert torch.equal(ours.head.linear.weight, small().head.linear.weight)


def test_a_transformer_takes_weights_of_another_side(tmp_path: Path) -> None:
    theirs = timm.create_model("vit_small_patch16_224", pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "start.pth")
    ours = build("vit-small", 3, Head("token"), weights=tmp_path / "start.pth", seed=0, side=96)
    assert ours.base.pos_embed.shape == (1, 1 + 36, 384)
    assert torch.equal(ours.base.cls_token, theirs.cls_token)


def test_a_model_of_ours_starts_another_with_other_classes(tmp_path: Path) -> None:
    earlier = small(classes=5, seed=4)
    torch.save({"format": "any", "state_dict": earlier.state_dict()}, tmp_path / "model.pt")
    later = small(classes=2, weights=tmp_path / "model.pt")
    assert torch.equal(later.base.conv_stem.weight, earlier.base.conv_stem.weight)
    assert later.head.linear.out_features == 2


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    state = timm.create_model("mobilenetv4_conv_small", pretrained=False).state_dict()

    def refused(changed: dict[str, torch.Tensor], words: str) -> None:
        torch.save(changed, tmp_path / "other.pth")
        with pytest.raises(DataError, match=words):
            small(weights=tmp_path / "other.pth")

    refused({key: value for key, value in state.items() if key != "conv_stem.weight"}, "lack 'conv_stem.weight'")
    refused({**state, "conv_stem.weight": torch.zeros(7, 3, 3, 3)}, "another shape of 'conv_stem.weight'")
    # deeper networks have all layers of shallower ones, of the same shapes: as ResNet-101 has those of ResNet-50
    refused({**state, "blocks.3.9.conv.weight": torch.zeros(1)}, "hold 'blocks.3.9.conv.weight' and 0 more")
    refused(timm.create_model("resnet18", pretrained=False).state_dict(), "not of mobilenetv4_conv_small")


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing"):
        small(weights=tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(DataError, match="no weights that can be read"):
        small(weights=tmp_path / "text.pth")
    np.savez(tmp_path / "layers.npz", a=np.zeros(3))
    with pytest.raises(DataError, match="read for mobilenetv2 only"):
        small(weights=tmp_path / "layers.npz")


@pytest.mark.parametrize("key", ["mobilenetv4-small", "dinobloom-s"])
def test_a_hub_that_cannot_be_reached_is_named_with_the_way_round(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = logging.getLogger("huggingface_hub")
    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())
    monkeypatch.setattr(client, "handlers", [listener])

    def unreachable(*given: object, **settings: object) -> str:
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise ConnectionError("no network")

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", unreachable)
    hub = NETWORKS[key].hub_id
    with pytest.raises(DataError, match=rf"{hub}.* cannot be downloaded .*--weights FILE"):
        build(key, 3, Head(), weights="hub", seed=0, side=fitting(key, 64))
    assert said == []
    client.warning("afterwards it speaks again")
    assert said == ["afterwards it speaks again"]
    with pytest.raises(DataError, match="no hub holds weights of MobileNetV2"):
        build("mobilenetv2", 3, Head(), weights="hub", seed=0, side=64)


@pytest.mark.realdata
@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs the ImageNet weights beside the data folder")
def test_mobilenetv2_of_the_file_names_known_photos_from_uint8() -> None:
    path = WEIGHTS / "mobilenetv2_imagenet.npz"
    network = build("mobilenetv2", 1001, Head(), weights=path, seed=0).eval()
    last = read_layers(path)[-1]
    with torch.no_grad():
        network.head.linear.weight.copy_(torch.from_numpy(last.weight.reshape(1001, -1)))
        network.head.linear.bias.copy_(torch.from_numpy(last.bias))
    names = (WEIGHTS / "test_images" / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    photos = {"cat.bmp": "Egyptian cat", "parrot.jpg": "macaw", "sunflower.bmp": "daisy"}
    read = [cv2.cvtColor(cv2.imread(str(WEIGHTS / "test_images" / file)), cv2.COLOR_BGR2RGB) for file in photos]
    given = torch.from_numpy(np.stack([cv2.resize(one, (224, 224), interpolation=cv2.INTER_AREA) for one in read]))
    with torch.no_grad():
        before = network(given)
        restore_folded(network, given)
        after = network.eval()(given)
    assert [names[i] for i in before.argmax(1)] == list(photos.values())
    assert torch.allclose(before, after, atol=1e-3)
