"""qexplore beside other tools on one network, the same images and one thread: `python -m benchmarks.run`."""
