"""The live view: the page of a run in progress, or a list of all runs, served on the local machine only."""
