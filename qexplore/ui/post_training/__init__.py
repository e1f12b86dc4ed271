"""The parts of the Post-training page: pick a recipe, see what each step buys, switch steps off, find the culprit."""
