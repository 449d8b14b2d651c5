"""Where in its crop the evidence for a cell's type lies, without torch: class activation maps, or occlusion.

A class activation map (CAM; Zhou et al., CVPR 2016) takes a classifier's logit apart by place. With the feature map
``F`` and the linear head ``W, b`` of the pack

    logit_k = mean over h, w of (W_k . F) + b_k        map_k = W_k . F

It costs one more run of the classifier, but tells where the evidence lies only if each position of the feature map
looks at its own place of the crop. In a deep network all may look at the middle (:func:`looks_apart` measures it);
then patches of the crop are covered in turn, and a map shows what the type's log odds lose (occlusion; Zeiler and
Fergus, ECCV 2014). docs/methods/explanations.md has the measurements behind both.

Legend: ``n`` crops of ``s`` pixels a side, ``k`` classes, feature map ``(n, c, h, w)``, maps ``(n, s, s)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from marrowscope.cells.classification import BATCH
from marrowscope.detection.engine import open_session
from marrowscope.errors import MarrowscopeError
from marrowscope.packs.contract import ClassifierContract
from marrowscope.packs.loading import Pack

Method = Literal["class activation", "occlusion"]

PATCHES = 5
"""Patches along a side of a crop for occlusion: 4.5 um each of blood-11's 22.4 um, about the lobe of a nucleus."""

LOOKS_APART = 0.5
"""Class activation maps are trusted from this value of :func:`looks_apart` on."""

_PROBE_STRIPS = 6

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Evidence by place for the type that each of ``n`` crops was given, and for the most probable other one.

    ``types`` and ``others`` ``(n,)`` index the pack's classes; ``probabilities (n, k)``; ``maps`` and ``other_maps``
    ``(n, s, s)``: logits (class activation) or loss of log odds when covered (occlusion); negative values speak against
    the type. ``contrast (n, s, s)`` is why the type and not the other: the same for the difference of their logits,
    positive where the crop speaks for the type. Values of one crop can be compared with each other.
    """

    method: Method
    types: NDArray[np.intp]
    others: NDArray[np.intp]
    probabilities: Floats
    maps: Floats
    other_maps: Floats
    contrast: Floats


def explain(
    crops: NDArray[np.uint8],
    pack: Pack,
    types: Sequence[str] | None = None,
    *,
    method: Method | None = None,
    threads: int | None = None,
) -> Explanation:
    """Explain the types of ``crops (n, s, s, 3)``, RGB at the classifier's spacing, cell in the middle.

    ``types`` names the type of each crop; None takes the most probable. ``method`` None takes class activation maps
    where the pack's can be trusted, else occlusion. Raises ``MarrowscopeError`` for a pack without a classifier of its
    own, for class activation without a feature map, and for a type that the pack does not know.
    """
    contract = pack.contract.classifier
    if contract is None or pack.classifier is None:
        raise MarrowscopeError(
            f"the pack {pack.contract.name} has no classifier of its own, so its types cannot be explained; "
            "choose a pack with one (marrowscope packs list)"
        )
    classes = pack.contract.classes
    if unknown := sorted(set(types or ()) - set(classes)):
        raise MarrowscopeError(f"the pack {pack.contract.name} knows no {unknown[0]!r}; it knows {', '.join(classes)}")
    network = _Network(open_session(pack.classifier, threads), contract, _read_head(pack))
    if method is None:
        method = "class activation" if network.head is not None and network.looks_apart >= LOOKS_APART else "occlusion"
    if method == "class activation" and network.head is None:
        raise MarrowscopeError(
            f"the pack {pack.contract.name} names no feature map and linear head, which class activation maps are made "
            "of; use occlusion, or export the classifier again with both"
        )
    named = None if types is None else np.array([classes.index(name) for name in types], np.intp)
    return network.by_activation(crops, named) if method == "class activation" else network.by_occlusion(crops, named)


def class_activation_maps(feature_map: Floats, weight: Floats) -> Floats:
    """Maps ``(n, h, w)`` for the weights ``(n, c)`` of one class a crop; their means are logit - bias."""
    maps: Floats = np.einsum("nc,nchw->nhw", weight, feature_map)
    return maps


def looks_apart(pack: Pack, *, threads: int | None = None) -> float:
    """How far apart the positions of the pack's feature map look: 1 each at its own place, 0 all at the same.

    Strips of a random picture are covered in turn; where a position's features change most is where it looks, and the
    slope of that place over the position's own is the answer. Raises ``MarrowscopeError`` without a feature map.
    """
    contract, head = pack.contract.classifier, _read_head(pack)
    if contract is None or pack.classifier is None or head is None:
        raise MarrowscopeError(f"the pack {pack.contract.name} names no feature map and linear head; choose another")
    return _Network(open_session(pack.classifier, threads), contract, head).looks_apart


class _Network:
    """A pack's classifier with what explaining asks of it; ``head`` is weight ``(k, c)`` and bias ``(k,)``."""

    def __init__(
        self, session: ort.InferenceSession, contract: ClassifierContract, head: tuple[Floats, Floats] | None
    ) -> None:
        self._session, self._contract, self.head = session, contract, head

    @property
    def looks_apart(self) -> float:
        n, side = _PROBE_STRIPS, self._contract.crop
        coarse = np.random.default_rng(0).normal(190, 35, (side // 4, side // 4, 3))
        picture = np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
        colour, edges = np.median(picture.reshape(-1, 3), axis=0), _edges(side, n)
        covered = np.repeat(picture[None], 2 * n + 1, axis=0)
        for index in range(n):
            strip = slice(edges[index], edges[index + 1])
            covered[1 + index, strip] = colour
            covered[1 + n + index, :, strip] = colour
        features = self._features(covered)
        change = np.sqrt(np.square(features[1:] - features[0]).sum(axis=1))
        slopes = [_slope(change[:n].sum(axis=2)), _slope(change[n:].sum(axis=1))]
        return float(np.mean(slopes))

    def by_activation(self, crops: NDArray[np.uint8], named: NDArray[np.intp] | None) -> Explanation:
        """Class activation maps, averaged over the crop and its three mirror images.

        A network that pads more on one side than on the other shifts its maps by up to half a position; mirror images
        shift them the opposite way.
        """
        assert self.head is not None
        log_probabilities = self._log_probabilities(crops)
        types, others = _two_types(log_probabilities, named)
        mirrored = [
            self._features(np.ascontiguousarray(crops[:, ::down, ::along]))[:, :, ::down, ::along]
            for down, along in ((1, 1), (1, -1), (-1, 1), (-1, -1))
        ]
        features: Floats = np.mean(mirrored, axis=0, dtype=np.float32)
        weight, side = self.head[0], self._contract.crop
        first, second = (
            _upsampled(class_activation_maps(features, weight[chosen]), side) for chosen in (types, others)
        )
        return Explanation(
            "class activation", types, others, _probabilities(log_probabilities), first, second, first - second
        )

    def by_occlusion(self, crops: NDArray[np.uint8], named: NDArray[np.intp] | None) -> Explanation:
        """What the log odds of a type lose when a patch is covered with the crop's median colour.

        Odds rather than probabilities: those of a certain cell hardly move.
        """
        log_probabilities = self._log_probabilities(crops)
        types, others = _two_types(log_probabilities, named)
        n, patches = len(crops), PATCHES
        left = np.empty((n, patches, patches, log_probabilities.shape[1]), np.float64)
        for target, crop in zip(left, crops, strict=True):
            target[:] = self._log_probabilities(_covered(crop, patches)).reshape(target.shape)
        rows, whole = np.arange(n), log_probabilities[:, None, None]
        lost_odds, lost = _log_odds(whole) - _log_odds(left), whole - left
        first, second = (lost_odds[rows, :, :, chosen] for chosen in (types, others))
        contrast = (lost[rows, :, :, types] - lost[rows, :, :, others]).astype(np.float32)
        maps = [_upsampled(coarse, self._contract.crop) for coarse in (first, second, contrast)]
        return Explanation("occlusion", types, others, _probabilities(log_probabilities), *maps)

    def _log_probabilities(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Of the classes, as :func:`marrowscope.packs.specimens.posterior` gives them but never rounded to 0 or 1."""
        scaled = self._run("logits", crops) / self._contract.temperature
        prior = self._contract.prior
        scaled = np.asarray(scaled if prior is None else scaled + np.log(prior), np.float64)
        return np.asarray(log_softmax(scaled, axis=1), np.float64)

    def _features(self, crops: NDArray[np.uint8]) -> Floats:
        assert self._contract.feature_map is not None
        return self._run(self._contract.feature_map, crops)

    def _run(self, output: str, crops: NDArray[np.uint8]) -> Floats:
        starts = range(0, max(1, len(crops)), BATCH)
        parts = [self._session.run([output], {"crops": crops[start : start + BATCH]})[0] for start in starts]
        return np.concatenate(parts)


def _read_head(pack: Pack) -> tuple[Floats, Floats] | None:
    """The linear head, where the pack names both it and a feature map."""
    contract = pack.contract.classifier
    if contract is None or contract.feature_map is None or contract.linear_head is None:
        return None
    with np.load(pack.files[contract.linear_head.file], allow_pickle=False) as head:
        return head["weight"], head["bias"]


def _two_types(
    log_probabilities: NDArray[np.float64], named: NDArray[np.intp] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of each row the named class (or the most probable) and the most probable of the others."""
    types = log_probabilities.argmax(axis=1) if named is None else named
    rest = log_probabilities.copy()
    rest[np.arange(len(rest)), types] = -np.inf
    return types, rest.argmax(axis=1)


def _probabilities(log_probabilities: NDArray[np.float64]) -> Floats:
    return np.asarray(np.exp(log_probabilities), np.float32)


def _log_odds(log_probabilities: NDArray[np.float64]) -> Floats:
    """Of each class against all others together; of a class that is all but certain, too, where 1 - p would be 0."""
    classes = range(log_probabilities.shape[-1])
    others = [logsumexp(np.delete(log_probabilities, one, axis=-1), axis=-1) for one in classes]
    return np.asarray(log_probabilities - np.stack(others, axis=-1), np.float32)


def _slope(change: Floats) -> float:
    """Slope of where positions look over where they are, in parts of the crop; ``change (strips, positions)``."""
    strips, positions = change.shape
    if positions < 2:
        return 0.0
    looked = (np.arange(strips) + 0.5) / strips @ (change / np.maximum(change.sum(axis=0), 1e-12))
    return float(np.polyfit((np.arange(positions) + 0.5) / positions, looked, 1)[0])


def _covered(crop: NDArray[np.uint8], patches: int) -> NDArray[np.uint8]:
    """Copies ``(patches * patches, s, s, 3)`` of a crop, in each another patch in the crop's median colour."""
    edges = _edges(crop.shape[0], patches)
    copies = np.repeat(crop[None], patches * patches, axis=0)
    colour = np.median(crop.reshape(-1, 3), axis=0)
    for index in range(patches * patches):
        row, column = divmod(index, patches)
        copies[index, edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = colour
    return copies


def _edges(side: int, parts: int) -> list[int]:
    return [round(side * part / parts) for part in range(parts + 1)]


def _upsampled(coarse: Floats, side: int) -> Floats:
    """Maps ``(n, h, w)`` smoothly at ``side`` pixels, each position at the middle of its part of the crop."""
    fine = np.empty((len(coarse), side, side), np.float32)
    for target, source in zip(fine, coarse, strict=True):
        cv2.resize(np.ascontiguousarray(source), (side, side), dst=target, interpolation=cv2.INTER_CUBIC)
    return fine
