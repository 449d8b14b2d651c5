"""``python -m marrowscope``."""

from marrowscope.cli import main

main()
