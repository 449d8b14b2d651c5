"""The contract of a pack: everything that is needed to use its models rightly, in one validated file.

A pack is a folder with ``pack.json`` (this contract), ``card.md`` (the model card) and ONNX files.

ONNX conventions (normalisation lives inside the graphs, so that no caller can get it wrong):

* detector: input ``tiles`` uint8 RGB ``(n, height, width, 3)`` at ``spacing``, height and width multiples of
  ``stride``; outputs ``boxes`` float32 ``(n, k, 4)`` as x0, y0, x1, y1 in pixels of the tile and ``scores`` float32
  ``(n, k)`` in 0..1, best first, unused rows with score 0; a detector that also names types adds ``probabilities``
  float32 ``(n, k, classes)``.
* region model: input and outputs of a detector, of one overview of the slide (see ``RegionContract``).
* classifier: input ``crops`` uint8 RGB ``(n, crop, crop, 3)`` at ``spacing``, the cell's centre in the middle, or,
  where ``spacing`` is None, whole pictures of single cells resized to ``crop``; output ``logits`` float32
  ``(n, classes)`` and, where ``feature_map`` names it, a float32 feature map ``(n, channels, h, w)`` whose global
  average, times the weights in ``linear_head``, gives the logits; where there is an anomaly score, also the features
  that it compares, float32 ``(n, c)``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, field_validator, model_validator

from marrowscope.errors import PackError
from marrowscope.taxonomy import CELL_TYPES, unseen_types

SCHEMA = 1
"""Version of ``pack.json`` that this program writes and reads."""

ANY = "any"
"""The specimen of which nothing is assumed: every class is as likely as every other."""

PICTURE_SIDE = 96
"""Pixels a side of the pictures of cells where the detector names types, at its spacing."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Word = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f]([^\x00-\x1f]*[^\s\x00-\x1f])?$", max_length=60)]
"""A class or a title: one line without space around it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingData(_Strict):
    """One source that the models were trained on, with what its licence asks for."""

    name: str
    licence: str
    attribution: str
    n: str = Field(description="how much was used, in words: '10,129 cells', '1,200 fields'")


class ModelFile(_Strict):
    """One file of the pack and its hash."""

    file: FileName
    sha256: Sha256


class DetectorContract(ModelFile):
    """How to run the detector. ``tile`` and ``margin`` in pixels at ``spacing``."""

    spacing: float = Field(gt=0, description="um per pixel of the input")
    tile: int = Field(gt=0)
    margin: int = Field(ge=0, description="context on each side; the core is tile - 2 margin")
    stride: int = Field(gt=0, description="tile sizes and origins are multiples of this")
    score_threshold: float = Field(ge=0, le=1)
    iou_threshold: float = Field(default=0.5, gt=0, le=1, description="boxes that overlap more are one cell")
    unsure_below: float = Field(
        default=0.5, ge=0, le=1, description="of a detector that names types: largest probability below this: 'unsure'"
    )

    @model_validator(mode="after")
    def _core_is_left(self) -> Self:
        if self.tile % self.stride or self.margin % self.stride:
            raise ValueError(f"tile {self.tile} and margin {self.margin} must be multiples of stride {self.stride}")
        if self.tile - 2 * self.margin < self.stride:
            raise ValueError(f"tile {self.tile} leaves no core inside a margin of {self.margin}")
        return self


class ClassifierContract(ModelFile):
    """How to run the cell classifier. ``crop`` in pixels at ``spacing``."""

    spacing: Annotated[float, Field(gt=0)] | None = Field(
        description="um per pixel of the input; None: the whole picture, whatever its scale, is resized to crop"
    )
    crop: int = Field(gt=0)
    temperature: float = Field(default=1.0, gt=0, description="logits are divided by this before the softmax")
    prior: tuple[float, ...] | None = Field(
        default=None, description="expected share of each class; None: all alike, as in training"
    )
    certainty_doubt: str = Field(
        default="",
        description="why the temperature is no measurement, so that certainties are not calibrated; else empty",
    )
    unsure_below: float = Field(default=0.5, ge=0, le=1, description="largest probability below this: 'unsure'")
    feature_map: str | None = Field(default=None, description="name of the ONNX output with the feature map")
    linear_head: ModelFile | None = Field(default=None, description="npz with weight (classes, channels), bias")


class RegionContract(ModelFile):
    """How to run the region model, which draws boxes round particles with their trails on an overview of the slide.

    The slide, its longer side ``side`` pixels and the shorter filled up with its background, is the detector's input
    ``tiles`` ``(1, side, side, 3)``; outputs ``boxes`` and ``scores`` are those of a detector.
    """

    side: int = Field(gt=0, description="pixels a side of the overview")
    score_threshold: float = Field(ge=0, le=1)
    iou_threshold: float = Field(default=0.5, gt=0, le=1, description="boxes that overlap more are one object")


CERTAINTY_BANDS = (0.6, 0.9)
"""A type called with a certainty below, between and from these is three different calls to the correction."""


class Confusion(_Strict):
    """Confusion counts on held-out data: ``counts[i][j]`` cells of true class i were called class j.

    ``by_certainty`` has the same counts divided into ``CERTAINTY_BANDS``, the least certain first; it may be missing.
    """

    data: str = Field(description="data and split in words")
    counts: tuple[tuple[int, ...], ...]
    by_certainty: tuple[tuple[tuple[int, ...], ...], ...] = ()

    @model_validator(mode="after")
    def _bands_add_up(self) -> Self:
        if not self.by_certainty:
            return self
        if len(self.by_certainty) != len(CERTAINTY_BANDS) + 1:
            raise ValueError(
                f"by_certainty must have {len(CERTAINTY_BANDS) + 1} tables, found {len(self.by_certainty)}"
            )
        sums = tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*self.by_certainty, strict=True))
        if sums != self.counts:
            raise ValueError("the tables of by_certainty must add up to counts")
        return self


class Specimen(_Strict):
    """What a pack takes a specimen to be made of, and what it then calls wrongly on held-out data."""

    prior: tuple[float, ...] = Field(description="expected share of each class, in their order")
    confusion: Confusion


class Anomaly(_Strict):
    """How to tell that a cell is like none that training knew: raw score over ``threshold``, anomalous above 1.

    ``reference`` is what ``marrowscope.packs.anomaly`` reads. ``threshold`` is the ``quantile`` of the raw scores of
    the known cells that ``data`` names, which are not in the reference.
    """

    method: Literal["whitened-neighbours"]
    features: str = Field(description="name of the classifier's ONNX output that is compared, (n, c)")
    reference: ModelFile
    threshold: float = Field(gt=0)
    quantile: float = Field(gt=0, lt=1)
    data: str = Field(description="the cells that gave the threshold, in words")


class PackContract(_Strict):
    """``pack.json``. Raises pydantic's ``ValidationError`` with the field that is wrong."""

    schema_version: Literal[1] = 1
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    title: str
    licence: str
    intended_use: str
    phantom: bool = Field(default=False, description="trained on phantoms: every report says so")
    training_data: tuple[TrainingData, ...]
    classes: tuple[Word, ...] = Field(
        min_length=1,
        description="in the order of the outputs: names of the taxonomy, or without a detector any words",
    )
    titles: tuple[Word, ...] = Field(
        default=(), description="of the classes, for people; empty: those of the taxonomy, else the class itself"
    )
    pooled: dict[str, str] = Field(
        default_factory=dict, description="type that is counted inside a class: {'promonocyte': 'monocyte'}"
    )
    detector: DetectorContract | None = Field(
        default=None, description="None: it names pictures of single cells and cannot count"
    )
    classifier: ClassifierContract | None = Field(
        default=None, description="None when the detector itself gives class probabilities"
    )
    regions: RegionContract | None = Field(
        default=None, description="None: regions are found without a model, by stain, spread and focus"
    )
    specimens: dict[str, Specimen] = Field(
        default_factory=dict, description="priors that Bayes' rule puts in place of the even one, by specimen"
    )
    confusion: Confusion | None = Field(default=None, description="with the prior that the classifier now has")
    anomaly: Anomaly | None = None
    _even: tuple[tuple[float, ...] | None, Confusion | None] | None = PrivateAttr(default=None)
    """Prior and confusions of ``pack.json``, kept while those of a specimen stand in their place; never written."""

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) != len(classes):
            raise ValueError("a class is listed twice")
        return classes

    @model_validator(mode="after")
    def _can_count(self) -> Self:
        """With a detector it can count, and without one it can do without what counting needs."""
        if self.detector is None:
            if self.classifier is None or self.regions is not None:
                raise ValueError("a pack without a detector needs a classifier, and has no use for a region model")
            return self
        if unknown := list(self.free_words):
            raise ValueError(
                f"classes: unknown cell types {unknown}; a pack that counts takes names of the taxonomy, which has: "
                f"{', '.join(CELL_TYPES)}; without a detector any words may be classes"
            )
        if self.classifier is not None:
            if self.classifier.spacing is None:
                raise ValueError(
                    "its classifier takes whole pictures at no spacing, so that no cells can be cut out of a slide for "
                    "it: leave the detector out, or train a classifier with marrowscope train cells --spacing UM"
                )
            margin = self.detector.margin * self.detector.spacing
            half = self.classifier.crop * self.classifier.spacing / 2
            if half > margin:
                raise ValueError(
                    f"crops reach {half:g} um from a cell's centre but the margin only {margin:g} um: crops would "
                    "depend on the tile; give a larger margin or smaller crops"
                )
        return self

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.titles and len(self.titles) != len(self.classes):
            raise ValueError(f"titles must be {len(self.classes)}, as there are so many classes, or none")
        for inner, outer in self.pooled.items():
            if inner not in CELL_TYPES or outer not in self.classes:
                raise ValueError(f"pooled: {inner!r} must be a cell type and {outer!r} one of the classes")
        if self.anomaly is not None and self.classifier is None:
            raise ValueError("an anomaly score needs a classifier of its own")
        n = len(self.classes)
        for confusion in (self.confusion, *(specimen.confusion for specimen in self.specimens.values())):
            if confusion and (len(confusion.counts) != n or any(len(row) != n for row in confusion.counts)):
                raise ValueError(f"confusion counts must be {n} x {n}, as there are {n} classes")
        own = self.classifier.prior if self.classifier else None
        for prior in (own, *(specimen.prior for specimen in self.specimens.values())):
            if prior is not None and (len(prior) != n or min(prior) <= 0 or abs(sum(prior) - 1) > 1e-3):
                raise ValueError(f"a prior must be {n} positive shares that sum to 1, as there are {n} classes")
        if self.specimens and self.classifier is None:
            raise ValueError("priors need a classifier of its own")
        return self

    def for_specimen(self, name: str) -> PackContract:
        """The contract with the prior of a specimen and the confusions under it; :data:`ANY` gives back the even ones.

        Which specimen it was for before makes no difference. Unchanged when the pack states no specimens. Raises
        ``ValueError`` for one that it does not state.
        """
        if not self.specimens or self.classifier is None:
            return self
        even = self._even or (self.classifier.prior, self.confusion)
        if name == ANY:
            prior, confusion = even
        elif name in self.specimens:
            prior, confusion = self.specimens[name].prior, self.specimens[name].confusion
        else:
            raise ValueError(
                f"the pack {self.name} knows the specimens {', '.join(self.specimens)}; {ANY!r} assumes none"
            )
        classifier = self.classifier.model_copy(update={"prior": prior})
        changed = self.model_copy(update={"classifier": classifier, "confusion": confusion})
        changed._even = None if name == ANY else even
        return changed

    @property
    def unsure_below(self) -> float:
        """A cell whose largest probability is below this is unsure: by the model that names the types."""
        return self.counts_with.unsure_below if self.classifier is None else self.classifier.unsure_below

    @property
    def certainty_doubt(self) -> str:
        """A sentence on certainties that are not calibrated, wherever some are shown; empty for those that are."""
        return "" if self.classifier is None else self.classifier.certainty_doubt

    @property
    def counts_with(self) -> DetectorContract:
        """The detector. Raises ``PackError`` for a pack without one: whatever needs a detector begins by asking."""
        if self.detector is None:
            raise PackError(
                f"the pack {self.name} names pictures of single cells and has no detector to find them on a slide: use "
                f"marrowscope classify PICTURES --pack {self.name}, choose a pack that counts (marrowscope packs list),"
                " or build it anew with the detector of one: marrowscope packs build --detector blood-11 ..."
            )
        return self.detector

    @property
    def cell_pictures(self) -> tuple[float, int]:
        """Um per pixel and side of the pictures of cells that a count cuts out. Raises ``PackError`` as above."""
        if self.classifier is None or self.classifier.spacing is None:
            return self.counts_with.spacing, PICTURE_SIDE
        return self.classifier.spacing, self.classifier.crop

    @property
    def free_words(self) -> tuple[str, ...]:
        """Classes that the taxonomy does not know, which only a pack without a detector has."""
        return tuple(name for name in self.classes if name not in CELL_TYPES)

    def title_of(self, name: str) -> str:
        """A class for people."""
        if self.titles:
            return self.titles[self.classes.index(name)]
        return CELL_TYPES[name].title if name in CELL_TYPES else name

    @property
    def named_by_people(self) -> frozenset[str]:
        """Classes that the pack does not have: people named cells of them, so that there are at least so many."""
        return frozenset()

    @property
    def cannot_see(self) -> tuple[str, ...]:
        """NDC types that this pack can never name: "not assessable" in every report. Words of its own are no types."""
        return unseen_types(self.classes, self.pooled)

    @property
    def told_apart(self) -> int:
        """Among how many types the pack classifies."""
        return len(self.classes)

    @property
    def partial(self) -> bool:
        """Whether the differential is one "among N types" only."""
        return any(name not in self.pooled and name not in OPTIONAL_TYPES for name in self.cannot_see)


OPTIONAL_TYPES = frozenset({"mast_cell", "promonocyte"})
"""Rare types whose absence from a pack is stated but does not by itself make the differential partial."""
