"""What a training costs: parameters, arithmetic, memory, energy."""

from __future__ import annotations

import copy
import importlib
import logging
import resource
import sys
import warnings
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

import torch
from torch.utils.flop_counter import FlopCounterMode

from marrowscope.learning.transfer.networks import CellNetwork

NO_METER = "not measured: pip install codecarbon"
METER = "estimate of CodeCarbon's offline tracker"


def flops(network: CellNetwork) -> int:
    """Floating-point operations of naming one picture (a multiplication and an addition are two); of its layers, not
    of norms and activations."""
    shadow = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(torch.zeros(1, network.side, network.side, 3, device="meta"))
    return int(counter.get_total_flops())


def parameters(network: CellNetwork) -> dict[str, int]:
    """``all`` and those that are ``learnt``."""
    numbers = [(part.numel(), part.requires_grad) for part in network.parameters()]
    return {"all": sum(n for n, _ in numbers), "learnt": sum(n for n, learnt in numbers if learnt)}


def peak_memory() -> float:
    """MB: the most that torch took of a GPU, else the most that this process took so far."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (2**20 if sys.platform == "darwin" else 2**10)


@lru_cache(maxsize=1)
def _tracker() -> Any:
    """CodeCarbon's offline tracker, one for all trainings of a process as it takes seconds to begin; None without it.

    Every way out is shut, whatever a configuration file of the user's says: it sends nothing and writes nothing.
    """
    try:
        tracker = importlib.import_module("codecarbon").OfflineEmissionsTracker
    except ImportError:
        return None
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tracker(
            country_iso_code="USA",  # a place is asked for; only the energy is used, which is the same anywhere
            country_2letter_iso_code=None,
            output_methods=[],
            save_to_file=False,
            save_to_api=False,
            save_to_logger=False,
            save_to_prometheus=False,
            save_to_logfire=False,
            output_handlers=[],
            emissions_endpoint=None,
            electricitymaps_api_token=None,
            tracking_mode="process",
            log_level="critical",
            allow_multiple_runs=True,
        )


class EnergyMeter:
    """Estimates the energy of what this process does between :meth:`start` and :meth:`stop`.

    On most machines it is the load of the processor times a table of its power, and of a GPU what its driver says.
    """

    def __init__(self) -> None:
        self._task = ""

    def start(self) -> None:
        with warnings.catch_warnings(), suppress(Exception):  # no estimate is worth a training
            warnings.simplefilter("ignore")
            if (tracker := _tracker()) is not None:
                name = uuid4().hex
                tracker.start_task(name)
                self._task = name

    def stop(self) -> dict[str, Any]:
        """``kwh`` (None where it was not measured) and ``how``."""
        if find_spec("codecarbon") is None:
            return {"kwh": None, "how": NO_METER}
        with warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            if self._task:
                before = float(_tracker()._total_energy.kWh)
                _tracker().stop_task(self._task)
                return {"kwh": float(_tracker()._total_energy.kWh) - before, "how": METER}
        return {"kwh": None, "how": "CodeCarbon gave no estimate on this machine"}
