"""The first cascade of Wang et al. 2022: boxes round particles and their trails on the 512 x 512 overview of a slide.

``objects`` says what is one object, ``data`` reads and changes overviews, ``recipes`` and ``training`` make a model of
:mod:`marrowscope.learning.cascade`, ``validation`` measures it on slides that it has not seen, ``export`` puts it into
a pack. Method and figures: docs/methods/regions.md.
"""
