import subprocess
import sys

import pytest

from marrowscope.cli import VERBS, main


def test_help_names_every_verb_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys\nfrom marrowscope.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as leaving:\n"
        "    heavy = {'numpy', 'polars', 'cv2', 'onnxruntime', 'torch'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n    raise\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for verb in VERBS:
        assert verb in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([verb, "--help"])
    assert leaving.value.code == 0
    assert verb in capsys.readouterr().out


def test_an_unknown_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["recount"])
    assert leaving.value.code == 2
    assert "recount" in capsys.readouterr().err
