"""The parts of the Training page: what is shown, the answer, curves, bits over time, learned ranges, several runs."""
