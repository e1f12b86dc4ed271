"""Networks of the zoo: ordinary, traceable modules whose names read well on screen."""
