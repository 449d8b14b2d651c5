import numpy as np
import pytest

from marrowscope.errors import DataError
from marrowscope.learning.weights import read_layers


def test_layers_come_in_the_order_of_the_network(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(
        path,
        **{"01_CONV_2D.weight": np.ones((4, 2, 1, 1)), "01_CONV_2D.bias": np.zeros(4)},
        **{"00_CONV_2D.weight": np.ones((2, 3, 3, 3)), "00_CONV_2D.bias": np.zeros(2)},
    )
    first, second = read_layers(path)
    assert (first.name, first.weight.shape, second.bias.shape) == ("00_CONV_2D", (2, 3, 3, 3), (4,))
    assert first.weight.dtype == np.float32


def test_a_missing_file_says_which_option_gives_it(tmp_path):
    with pytest.raises(DataError, match="--weights"):
        read_layers(tmp_path / "absent.npz")


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    path.write_bytes(b"no npz")
    with pytest.raises(DataError, match="not a readable npz"):
        read_layers(path)


def test_a_weight_without_its_bias_is_named(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **{"00_CONV_2D.weight": np.ones((2, 3, 3, 3))})
    with pytest.raises(DataError, match="no bias for 00_CONV_2D"):
        read_layers(path)
