"""Side by side with peers, on one machine, in one run, as ratios."""
