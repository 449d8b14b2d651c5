"""What a training costs: parameters, arithmetic, memory, energy."""

from __future__ import annotations

import copy
import importlib
import logging
import resource
import sys
import warnings
from contextlib import suppress
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from marrowscope.learning.transfer.networks import CellNetwork

NO_METER = "not measured: pip install codecarbon"


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


class EnergyMeter:
    """Estimates the energy of what happens between :meth:`start` and :meth:`stop`, with CodeCarbon's offline tracker.

    It sends nothing and writes nothing: every way out is shut, whatever a configuration file of the user's says. On
    most machines it is the load of the processor times a table of its power.
    """

    def __init__(self) -> None:
        self._tracker: Any = None

    def start(self) -> None:
        try:
            tracker = importlib.import_module("codecarbon").OfflineEmissionsTracker
        except ImportError:
            return
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            self._tracker = tracker(
                country_iso_code="USA",  # a place is asked for; only the energy is used, which is the same anywhere
                save_to_file=False,
                save_to_api=False,
                save_to_logger=False,
                save_to_prometheus=False,
                save_to_logfire=False,
                emissions_endpoint=None,
                electricitymaps_api_token=None,
                tracking_mode="process",
                log_level="critical",
                allow_multiple_runs=True,
            )
            self._tracker.start()

    def stop(self) -> dict[str, Any]:
        """``kwh`` (None where it was not measured) and ``how``."""
        if self._tracker is None:
            return {"kwh": None, "how": NO_METER}
        with warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            self._tracker.stop()
            found = self._tracker.final_emissions_data
            return {"kwh": float(found.energy_consumed), "how": "estimate of CodeCarbon's offline tracker"}
        return {"kwh": None, "how": "CodeCarbon gave no estimate on this machine"}
