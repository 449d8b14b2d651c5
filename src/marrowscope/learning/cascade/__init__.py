"""Cascade R-CNN (Cai & Vasconcelos, TPAMI 2019, arXiv:1906.09756) for cells and for regions.

``backbones`` makes a feature pyramid, ``proposals`` the region proposal network, ``heads`` one stage, ``network``
the loop over the stages; ``labels`` decides which box learns what, ``negatives`` how far an unlabelled box is believed
to be background; ``recipes`` are the settings, ``training`` and ``inference`` use them, ``export`` makes the detector
of a pack.
"""
