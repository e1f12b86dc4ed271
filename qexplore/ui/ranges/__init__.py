"""The parts of the Ranges page: choices, answers, the site's estimators, a range by hand, all sites, channels."""
