"""One module a paper: its experiment as a recipe that anyone can run, its figures beside ours."""
