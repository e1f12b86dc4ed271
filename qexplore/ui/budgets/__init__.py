"""The parts of the Budgets page: limits, answers, the strip of numbers, the picked site, editing."""
