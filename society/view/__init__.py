"""The live view: the report's page of a run in progress, served on the local machine only."""
