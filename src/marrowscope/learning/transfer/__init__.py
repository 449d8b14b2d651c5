"""Networks of the cell studies: transfer learning on pictures of single cells, by the recipe of a paper or our own."""
